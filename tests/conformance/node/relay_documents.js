/** What relay-compiler compiles: a list in pages, fragments that are fetched again, a mutation, a subscription. */
import relay from "relay-runtime";

const { graphql } = relay;

graphql`
  query relay_documentsListQuery($first: Int!) {
    ...relay_documents_list @arguments(first: $first)
  }
`;

graphql`
  fragment relay_documents_list on Query
  @argumentDefinitions(
    first: { type: "Int" }
    after: { type: "String" }
    last: { type: "Int" }
    before: { type: "String" }
  )
  @refetchable(queryName: "relay_documentsPageQuery") {
    creditMemos(
      first: $first
      after: $after
      last: $last
      before: $before
      sort: [{ field: NUMBER, direction: ASC }]
    ) @connection(key: "relay_documents_creditMemos", filters: []) {
      edges {
        node {
          id
          number
          ...relay_documents_memo
        }
      }
    }
  }
`;

graphql`
  fragment relay_documents_memo on CreditMemo
  @argumentDefinitions(items: { type: "Boolean", defaultValue: false })
  @refetchable(queryName: "relay_documentsMemoQuery") {
    number @required(action: THROW)
    comment
    account @required(action: THROW) {
      name
    }
    items(first: 10) @include(if: $items) {
      edges {
        node {
          id
          amount
        }
      }
    }
  }
`;

graphql`
  query relay_documentsNodeQuery($id: ID!) {
    node(id: $id) {
      __typename
      id
    }
  }
`;

graphql`
  query relay_documentsNodesQuery($ids: [ID!]!) {
    nodes(ids: $ids) {
      __typename
      id
      ... on CreditMemo @alias(as: "memo") {
        number
      }
    }
  }
`;

graphql`
  mutation relay_documentsCommentMutation($input: UpdateCreditMemoInput!) {
    updateCreditMemo(input: $input) {
      creditMemo {
        id
        comment
      }
      userErrors {
        code
        message
      }
    }
  }
`;

graphql`
  subscription relay_documentsWatchSubscription {
    creditMemoChanged {
      event {
        action
      }
      creditMemo {
        id
        number
        comment
      }
    }
  }
`;
