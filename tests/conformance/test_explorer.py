"""GraphiQL in a real browser that reaches nothing but this machine: what a person does on their first visit."""

import email
import email.policy
import io
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from pypdf import PdfReader, PdfWriter

from cm_graphql.api import explorer
from cm_graphql.api.explorer import assets
from conformance.browser import Page, browsing
from postgres import free_port
from servers import started

Tool = Callable[[str], str]

EDITOR = "document.querySelector('.graphiql-query-editor .CodeMirror')"
RESULT = "document.querySelector('.result-window .CodeMirror')"


@pytest.fixture(scope="session")
def graphiql(tool: Tool) -> None:
    """The files of GraphiQL, fetched where the installation could not."""
    if assets.missing():
        tool("npm")
        assets.fetch()


@pytest.fixture
def page(graphiql: None, own_server: str, chromium: str, tmp_path: Path) -> Iterator[Page]:
    """The explorer, ready to be used; afterwards nothing may have been asked of strangers, or complained about."""
    with browsing(chromium, tmp_path) as page:
        visit(page, own_server)
        yield page
        assert page.strangers == []
        assert page.complaints == []


def visit(page: Page, base_url: str) -> None:
    """Open the explorer of a server, and wait until it knows the schema."""
    page.goto(f"{base_url}/graphql")
    page.wait(f"{EDITOR}?.CodeMirror.options.lint.schema")


def run(page: Page, *choice: str) -> str:
    """Run what the editor holds, choosing an operation where it asks, and give the answer."""
    page.click(".graphiql-execute-button")
    for name in choice:
        page.wait("document.querySelector('[role=menuitem]')")
        page.evaluate(
            f"Array.from(document.querySelectorAll('[role=menuitem]')).find(i => i.innerText === '{name}').click()"
        )
    page.wait(f"{RESULT}.CodeMirror.getValue() && !document.querySelector('.graphiql-spinner')")
    return str(page.evaluate(f"{RESULT}.CodeMirror.getValue()"))


def write(page: Page, document: str) -> None:
    """Put a document of one operation into the editor, and the answer of the one before out of sight."""
    page.evaluate(f"{EDITOR}.CodeMirror.setValue({document!r})")
    page.wait(f"{EDITOR}.CodeMirror.operations.length === 1")
    page.evaluate(f"{RESULT}.CodeMirror.setValue('')")


def keep(page: Page, name: str, tmp_path: Path) -> Path:
    """Take a picture; where CM_GRAPHQL_TEST_SCREENSHOTS names a folder, it stays there to be looked at."""
    folder = Path(os.environ.get("CM_GRAPHQL_TEST_SCREENSHOTS") or tmp_path)
    file = folder / f"{name}.png"
    page.screenshot(file)
    return file


def test_the_examples_stand_in_tabs_and_a_query_answers(page: Page, tmp_path: Path) -> None:
    titles = page.evaluate("Array.from(document.querySelectorAll('.graphiql-tab-button')).map(tab => tab.innerText)")
    assert titles == [explorer.name(document) for document in explorer.examples()]

    answer = run(page, "MainJob")

    assert '"invoiceNumber": "INV00000001"' in answer
    assert keep(page, "query", tmp_path).stat().st_size > 20_000


def test_a_mutation_answers(page: Page, tmp_path: Path) -> None:
    write(page, 'mutation { postCreditMemo(input: {key: "CM00000002", dryRun: true}) { creditMemo { status } } }')

    assert '"status": "POSTED"' in run(page)
    keep(page, "mutation", tmp_path)


def a_pdf(file: Path) -> Path:
    """Write a PDF of a blank page."""
    writer = PdfWriter()
    writer.add_blank_page(width=200, height=200)
    writer.write(file)
    return file


def open_tab(page: Page, name: str) -> None:
    """Go to the tab of an example."""
    page.evaluate(
        f"Array.from(document.querySelectorAll('.graphiql-tab-button')).find(t => t.innerText === '{name}').click()"
    )
    page.wait(f"{EDITOR}.CodeMirror.operations?.some(one => one.name?.value === '{name}')")


def test_a_pdf_is_made_opened_added_to_and_mailed(
    page: Page, own_server: str, own_folder: Path, tmp_path: Path
) -> None:
    open_tab(page, "Documents")
    assert '"userErrors": []' in run(page, "Documents")
    deadline = time.monotonic() + 20
    while '"fileName": "CM00000001.pdf"' not in run(page, "DocumentsStatus"):
        assert time.monotonic() < deadline
        page.evaluate(f"{RESULT}.CodeMirror.setValue('')")
        time.sleep(0.5)

    page.wait("document.querySelector('.found')?.innerText === 'CM00000001.pdf'")
    made = httpx.get(own_server + page.evaluate("document.querySelector('.found').getAttribute('href')"))
    assert "Credit memo" in PdfReader(io.BytesIO(made.content)).pages[0].extract_text()

    page.evaluate(f"{RESULT}.CodeMirror.setValue('')")
    assert "Choose a file for $file" in run(page, "DocumentsUpload")
    keep(page, "upload-empty", tmp_path)
    page.choose("#files input[data-path=file]", a_pdf(tmp_path / "Signed by Globex.pdf"))
    page.wait("document.querySelector('.picked-name')?.innerText === 'Signed by Globex.pdf'")
    page.evaluate(f"{RESULT}.CodeMirror.setValue('')")
    assert '"fileName": "Signed by Globex.pdf"' in run(page, "DocumentsUpload")
    page.wait("document.querySelector('.found')?.innerText === 'Signed by Globex.pdf'")
    keep(page, "upload", tmp_path)

    page.evaluate(f"{RESULT}.CodeMirror.setValue('')")
    assert '"userErrors": []' in run(page, "DocumentsEmail")
    while not (letters := list((own_folder / "mail").glob("*.eml"))):
        assert time.monotonic() < deadline + 20
        time.sleep(0.1)
    mail = email.message_from_bytes(letters[0].read_bytes(), policy=email.policy.default)
    assert mail["To"] == "ap@globex.example"
    assert [part.get_filename() for part in mail.walk() if part.get_filename()] == ["Signed by Globex.pdf"]


def test_a_file_is_chosen_within_an_input_and_taken_back(page: Page, tmp_path: Path) -> None:
    write(
        page,
        "mutation ($input: UploadCreditMemoFileInput!) { uploadCreditMemoFile(input: $input) {"
        " file { fileName } userErrors { code } } }",
    )
    page.evaluate(
        "document.querySelector('.graphiql-editor-tool .CodeMirror').CodeMirror"
        """.setValue('{"input": {"key": "CM00000002", "dryRun": true}}')"""
    )
    lie = tmp_path / "lie.pdf"
    lie.write_text("<html>")
    page.choose("#files input[data-path='input.file']", lie)
    assert '"code": "FILE_NOT_PDF"' in run(page)

    page.click(".picked button")
    page.choose("#files input[data-path='input.file']", a_pdf(tmp_path / "truth.pdf"))
    page.wait("document.querySelector('.picked-name')?.innerText === 'truth.pdf'")
    page.evaluate(f"{RESULT}.CodeMirror.setValue('')")
    assert '"userErrors": []' in run(page)
    keep(page, "upload-input", tmp_path)


def test_the_documentation_opens(page: Page, tmp_path: Path) -> None:
    page.click('[aria-label="Show Documentation Explorer"]')
    page.wait("document.querySelector('.graphiql-doc-explorer')?.innerText.includes('Mutation')")
    links = "Array.from(document.querySelectorAll('.graphiql-doc-explorer a'))"
    page.evaluate(f"{links}.find(link => link.innerText === 'Mutation').click()")

    page.wait("document.body.innerText.includes('Posts a draft, which makes its amount available to use.')")
    keep(page, "documentation", tmp_path)


def test_the_plug_in_builds_queries_by_clicking(page: Page, tmp_path: Path) -> None:
    write(page, "query Mine { viewer { id } }")
    page.click('[aria-label="Show GraphiQL Explorer"]')
    page.wait("document.querySelector('.docExplorerWrap')?.innerText.includes('creditMemos')")

    page.click("[data-field-name=scopes]")

    page.wait(f"{EDITOR}.CodeMirror.getValue().includes('scopes')")
    keep(page, "plug-in", tmp_path)


def watch(page: Page) -> None:
    """Run a subscription to changes of memos."""
    write(page, "subscription { creditMemoChanged { event { action } creditMemo { number comment } } }")
    page.click(".graphiql-execute-button")
    page.wait("document.querySelector('.graphiql-execute-button').ariaLabel.startsWith('Stop')")


def change(base_url: str, comment: str) -> None:
    """Change a memo, from elsewhere."""
    query = (
        'mutation ($c: String) { updateCreditMemo(input: {key: "CM00000004", comment: $c}) { userErrors { code } } }'
    )
    httpx.post(f"{base_url}/graphql", json={"query": query, "variables": {"c": comment}})


def watch_until_told(page: Page, base_url: str, comment: str) -> None:
    """Watch, and change a memo until that is told: the first change may come before the subscription has begun."""
    watch(page)
    deadline = time.monotonic() + 20
    while not page.evaluate(f"{RESULT}.CodeMirror.getValue().includes('{comment}')"):
        assert time.monotonic() < deadline
        change(base_url, comment)
        time.sleep(0.5)


def test_a_subscription_tells_what_happens_meanwhile(page: Page, own_server: str, tmp_path: Path) -> None:
    watch_until_told(page, own_server, "Seen")

    keep(page, "subscription", tmp_path)
    page.click(".graphiql-execute-button")


def test_a_subscription_that_was_left_writes_into_no_other_tab(page: Page, own_server: str) -> None:
    watch_until_told(page, own_server, "Watched")

    open_tab(page, "Books")
    change(own_server, "Left alone")
    time.sleep(1)

    assert page.evaluate(f"{RESULT}.CodeMirror.getValue()") == ""


def forget(page: Page) -> None:
    """Put the answer out of sight."""
    page.evaluate(f"{RESULT}.CodeMirror.setValue('')")


def errors(page: Page) -> object:
    """Wait for an answer, and give its errors."""
    page.wait(f"{RESULT}.CodeMirror.getValue() && !document.querySelector('.graphiql-spinner')")
    return json.loads(page.evaluate(f"{RESULT}.CodeMirror.getValue()")).get("errors")


def test_a_server_that_is_gone_is_said_to_be_gone_and_found_again(
    graphiql: None, own_server: str, own_folder: Path, chromium: str, tmp_path: Path
) -> None:
    database, port = f"sqlite:///{own_folder / 'demo.db'}", free_port()
    origin = f"http://127.0.0.1:{port}"
    gone = [
        {"message": f"The server at {origin} cannot be reached (is it running?): this page goes on once it is back."}
    ]

    server = started(database, tmp_path, port)
    try:
        with browsing(chromium, tmp_path) as page:
            visit(page, origin)
            watch(page)

            server.kill()
            server.wait()
            assert errors(page) == gone  # while something was watched
            keep(page, "gone", tmp_path)
            forget(page)
            page.click(".graphiql-execute-button")
            assert errors(page) == gone  # to a subscription
            forget(page)
            page.click('[aria-label="Re-fetch GraphQL schema"]')
            assert errors(page) == gone  # to the schema
            write(page, "{ viewer { id } }")
            page.click(".graphiql-execute-button")
            assert errors(page) == gone  # to a query

            server = started(database, tmp_path, port)
            forget(page)
            assert '"id": "usr_local"' in run(page)
            assert page.complaints == []
    finally:
        server.kill()
        server.wait()


def test_a_header_that_cannot_be_sent_is_no_fault_of_the_server(page: Page) -> None:
    write(page, "{ viewer { id } }")
    page.evaluate("document.querySelector('#token').value = '\u2713'")

    assert "ISO-8859-1" in run(page)


def box(page: Page, selector: str) -> dict[str, float]:
    """Where the first element that matches stands: its left, top, right, bottom, width and height."""
    found = page.evaluate(f"document.querySelector('{selector}').getBoundingClientRect().toJSON()")
    return dict(found)


def test_on_a_telephone_the_answer_stands_below_the_editor_and_nothing_beside_the_screen(
    graphiql: None, own_server: str, chromium: str, tmp_path: Path
) -> None:
    with browsing(chromium, tmp_path) as page:
        page.hold_telephone(390, 844)
        visit(page, own_server)

        assert '"invoiceNumber": "INV00000001"' in run(page, "MainJob")
        editor, answer = box(page, ".graphiql-query-editor"), box(page, ".result-window")
        assert answer["top"] >= editor["bottom"]
        for pane in (editor, answer):
            assert pane["width"] > 340
            assert pane["height"] > 250
        assert box(page, ".bar")["height"] < 50
        keep(page, "telephone", tmp_path)

        names = "Array.from(document.querySelectorAll('.graphiql-tab-button')).map(tab => tab.innerText)"
        before = page.evaluate(names)
        page.swipe_left(".graphiql-session-header")
        page.wait("document.querySelector('.graphiql-tabs').scrollLeft > 100")
        assert page.evaluate(names) == before  # none was drawn to another place

        page.click('[aria-label="Show editor tools"]')
        page.wait("document.querySelector('[aria-label=\"Hide editor tools\"]')")
        copy, tools = box(page, '[aria-label^="Copy query"]'), box(page, ".graphiql-editor-tools")
        assert copy["bottom"] <= tools["top"]
        keep(page, "telephone-variables", tmp_path)

        page.click('[aria-label="Show Documentation Explorer"]')
        page.wait("document.querySelector('.graphiql-doc-explorer')?.innerText.includes('Mutation')")
        assert box(page, ".graphiql-plugin")["width"] == 390
        assert box(page, ".graphiql-sessions")["right"] <= 390
        keep(page, "telephone-documentation", tmp_path)


@pytest.mark.parametrize("size", ["1280,800", "1024,768", "600,800"])
def test_no_line_of_an_example_is_cut_at_the_edge_of_the_editor(
    graphiql: None, own_server: str, chromium: str, tmp_path: Path, size: str
) -> None:
    with browsing(chromium, tmp_path, size=size) as page:
        visit(page, own_server)

        for document in explorer.examples():
            open_tab(page, explorer.name(document))
            shown = page.evaluate(f"{EDITOR}.CodeMirror.getScrollInfo()")
            assert shown["width"] <= shown["clientWidth"], explorer.name(document)


def test_the_keyboard_leaves_an_editor_by_escape_and_tab_and_an_answer_by_tab(page: Page, tmp_path: Path) -> None:
    within = "document.activeElement.closest('.CodeMirror')"
    page.evaluate(f"{EDITOR}.CodeMirror.focus()")
    page.press("Tab")
    assert page.evaluate(f"{within} === {EDITOR}")  # it indented
    assert page.evaluate("getComputedStyle(document.querySelector('.graphiql-editor-tools'), '::after').content") == (
        '"Esc, then Tab leaves the editor"'
    )
    keep(page, "keyboard", tmp_path)

    page.press("Escape")
    page.press("Tab")
    assert page.evaluate("document.activeElement.matches('.graphiql-execute-button')")

    page.evaluate(f"{EDITOR}.CodeMirror.focus()")
    page.press("Escape")
    page.press("Shift", shift=True)
    page.press("Tab", shift=True)
    assert not page.evaluate(within)

    page.evaluate(f"{RESULT}.CodeMirror.focus()")
    page.press("Tab")
    assert not page.evaluate(within)


def test_the_token_is_sent_and_forgotten_with_the_tab(page: Page) -> None:
    page.evaluate(
        "window.sent = []; const own = window.fetch;"
        "window.fetch = (url, options) => { sent.push(options?.headers?.authorization); return own(url, options); }"
    )
    page.click("#token")
    page.type("secret-token")
    page.evaluate("document.querySelector('#token').blur()")

    page.wait("sent.includes('Bearer secret-token')")  # the schema is asked for anew
    assert page.evaluate("sessionStorage.getItem('cm-graphql:token')") == "secret-token"
    assert "secret-token" not in page.evaluate("JSON.stringify(localStorage)")


def test_dialogs_open_and_the_examples_come_back(page: Page, tmp_path: Path) -> None:
    page.click('[aria-label="Open settings dialog"]')
    page.wait("document.querySelector('.graphiql-dialog')")
    keep(page, "settings", tmp_path)
    page.click(".graphiql-dialog button")
    page.wait("!document.querySelector('.graphiql-dialog')")

    page.evaluate("document.querySelector('.graphiql-tab-close').click()")
    page.wait(f"document.querySelectorAll('.graphiql-tab-button').length === {len(explorer.examples()) - 1}")
    page.evaluate("window.confirm = () => true")
    page.click("#examples")

    page.wait(f"document.querySelectorAll('.graphiql-tab-button').length === {len(explorer.examples())}")


def test_it_is_dark_for_those_who_like_it_dark(graphiql: None, own_server: str, chromium: str, tmp_path: Path) -> None:
    with browsing(chromium, tmp_path, dark=True) as page:
        page.goto(f"{own_server}/graphql")
        page.wait(EDITOR)

        for element in (".bar", ".graphiql-container"):
            colour = page.evaluate(f"getComputedStyle(document.querySelector('{element}')).backgroundColor")
            assert all(int(part) < 80 for part in colour[4:-1].split(", ")), colour
        keep(page, "dark", tmp_path)


def test_a_page_without_graphiql_is_not_blank(chromium: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "VENDOR", tmp_path / "nothing")
    (tmp_path / "page.html").write_bytes(explorer.page("http://127.0.0.1:8000/graphql").body)
    style = tmp_path / "graphql" / "explorer" / "explorer.css"
    style.parent.mkdir(parents=True)
    style.write_bytes((explorer.HERE / "explorer.css").read_bytes())

    with browsing(chromium, tmp_path) as page:
        page.goto((tmp_path / "page.html").as_uri())

        assert "GraphiQL is not installed here" in page.text()
        assert "cm-graphql explorer fetch" in page.text()
        keep(page, "missing", tmp_path)


def test_a_page_whose_files_do_not_arrive_is_not_blank(graphiql: None, chromium: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_bytes(explorer.page("http://127.0.0.1:8000/graphql").body)

    with browsing(chromium, tmp_path) as page:
        page.goto((tmp_path / "page.html").as_uri())

        assert "The explorer is loading" in page.text()
