"""docs/architecture.md names every room, and the manual names nothing that does not exist."""

import re
import tomllib

import pytest

PACKAGES = (
    "mrnn_edge", "cli/mrnn_edge_cli", "train/mrnn_edge_train", "export/mrnn_edge_export",
)  # fmt: skip
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
FILE = re.compile(r"[\w./-]+\.py\b")
FOLDER = re.compile(r"(?<![\w./-])(?:mrnn_edge|cli|train|export|benchmarks|tests|docs)/[\w./-]*")
MODULE = re.compile(r"\b(mrnn_edge(?:_cli|_train|_export)?)\.([a-z]\w*)(?:\.([a-z]\w*))?")


def manual(root):
    """The pages that say what is; docs/measurements name files of the commit that they measured."""
    pages = [root / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
    return [*pages, *sorted((root / "docs").glob("*.md"))]


def named(pattern, root):
    """Yield every page's name with each text in it that `pattern` finds."""
    for page in manual(root):
        for match in pattern.finditer(page.read_text(encoding="utf-8")):
            yield page.name, match


@pytest.fixture(scope="module")
def page(root):
    return (root / "docs" / "architecture.md").read_text(encoding="utf-8")


def rooms(root):
    for package in PACKAGES:
        for folder in {path.parent for path in (root / package).rglob("*.py")}:
            yield f"{folder.relative_to(root).as_posix()}/"


def test_every_folder_with_python_is_a_room_of_the_page(page, root):
    assert [room for room in sorted(rooms(root)) if f"`{room}`" not in page] == []


def test_every_file_beside_the_rooms_of_the_library_is_in_the_page(page, root):
    files = {path.name for path in (root / "mrnn_edge").glob("*.py")} - {"__init__.py"}
    assert sorted(name for name in files if f"`{name}`" not in page) == []


def test_the_layers_of_the_page_are_those_that_import_linter_holds(page, root):
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    held = [c["layers"] for c in contracts["contracts"] if c["type"] == "layers"]
    drawn = [block.split("\n") for block in re.findall(r"```layers\n(.*?)\n```", page, re.DOTALL)]
    assert drawn == held


def test_no_page_names_a_python_file_that_does_not_exist(root):
    tops = ("benchmarks", "tests", *PACKAGES)
    known = {path.name for top in tops for path in (root / top).rglob("*.py")}
    missing = {
        (name, match[0])
        for name, match in named(FILE, root)
        if not ((root / match[0]).is_file() if "/" in match[0] else match[0] in known)
    }
    assert missing == set()


def test_no_page_names_a_folder_that_does_not_exist(root):
    paths = {(name, match[0].rstrip(".")) for name, match in named(FOLDER, root)}
    folders = {(name, path) for name, path in paths if "." not in path.rpartition("/")[2]}
    assert {(name, path) for name, path in folders if not (root / path).exists()} == set()


def test_no_page_names_a_module_that_does_not_exist(root):
    home = {package.rpartition("/")[2]: root / package for package in PACKAGES}

    def exists(package, first, second):
        folder = home[package] / first
        if not folder.is_dir():
            return folder.with_suffix(".py").is_file()
        return second is None or (folder / f"{second}.py").is_file()

    missing = {(name, m[0]) for name, m in named(MODULE, root) if not exists(*m.groups())}
    assert missing == set()


def test_no_link_between_pages_is_dead(root):
    pages = [*manual(root), root / "CHANGELOG.md", *(root / "docs").rglob("*/*.md")]
    dead = {
        (page.name, link)
        for page in pages
        for link in LINK.findall(page.read_text(encoding="utf-8"))
        if "://" not in link and not (page.parent / link).exists()
    }
    assert dead == set()
