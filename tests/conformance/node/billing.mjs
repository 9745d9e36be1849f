/** What the clients do here: read memos, give one a comment, watch it, hand in a file. */
import { endpoint, pause } from "./checks.mjs";

/** A posted memo, and one that does not exist. */
export const number = "CM00000004";
export const nobody = "CM99999999";

export const READ = `query Read($key: ID!) { creditMemo(key: $key) { id number comment amount account { id name } } }`;

export const LIST = `query List($first: Int, $after: String) {
  creditMemos(first: $first, after: $after, sort: [{ field: NUMBER, direction: ASC }]) {
    edges { cursor node { id number } }
    pageInfo { hasNextPage endCursor }
  }
}`;

export const COMMENT = `mutation Comment($input: UpdateCreditMemoInput!) {
  updateCreditMemo(input: $input) { creditMemo { id comment version } userErrors { code message field } }
}`;

export const WATCH = `subscription Watch { creditMemoChanged { event { action } creditMemo { id number comment } } }`;

export const UPLOAD = `mutation Upload($key: ID!, $file: Upload!) {
  uploadCreditMemoFile(input: { key: $key, file: $file }) { file { id fileName size } userErrors { code message } }
}`;

/** Change the memo's comment, without any client. */
export async function comment(text) {
  const answer = await fetch(endpoint, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query: COMMENT, variables: { input: { key: number, comment: text } } }),
  });
  const { data } = await answer.json();
  if (data.updateCreditMemo.userErrors.length) throw new Error(JSON.stringify(data.updateCreditMemo.userErrors));
}

/**
 * Subscribe with a function that takes callbacks and returns how to end it, change the memo until that was told, and
 * give what was told. The first changes may come before the subscription has begun.
 */
export async function told(subscribe) {
  const text = `told ${Math.random()}`;
  const heard = [];
  let failure;
  const end = subscribe(
    (result) => heard.push(result),
    (error) => (failure = error),
  );
  try {
    while (!JSON.stringify(heard).includes(text)) {
      if (failure) throw failure;
      await comment(text);
      await comment(`${text} and more`);
      await pause(200);
    }
  } finally {
    await end();
  }
  return heard;
}

/** A PDF of one empty page. */
export function emptyPdf() {
  const objects = [
    "<< /Type /Catalog /Pages 2 0 R >>",
    "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
    "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] >>",
  ];
  let text = "%PDF-1.4\n";
  const places = objects.map((object, index) => {
    const place = text.length;
    text += `${index + 1} 0 obj\n${object}\nendobj\n`;
    return String(place).padStart(10, "0");
  });
  const start = text.length;
  text += `xref\n0 4\n0000000000 65535 f \n${places.map((place) => `${place} 00000 n \n`).join("")}`;
  text += `trailer\n<< /Size 4 /Root 1 0 R >>\nstartxref\n${start}\n%%EOF\n`;
  return new File([text], "memo.pdf", { type: "application/pdf" });
}
