"""What every command line understands: short names, paths of every spelling, one clear error."""

import pytest

from mrnn_edge_cli.app import _COMMANDS


@pytest.mark.parametrize("name", [*_COMMANDS, ""])
def test_h_and_help_print_the_same(command, name):
    long, short = (command(*name.split(), option) for option in ("--help", "-h"))
    assert long.returncode == 0, long.stderr
    assert long.stdout == short.stdout
    assert "\x1b" not in long.stdout


def test_options_stand_under_headings_by_theme(command):
    said = command("caption", "--help", env={"COLUMNS": "80"}).stdout
    headings = [line[:-1] for line in said.splitlines() if line.endswith(":") and line[0] != " "]
    themes = ["Input", "Output", "Sentences", "Sampling", "Model and machine", "Options"]
    assert headings == ["Arguments", *themes]
    assert "[default: auto]" in said
    assert "1<=x<=100" in said


def test_m_and_q_are_the_model_and_quiet(command, bundle, picture):
    done = command("caption", picture, "-q", "-m", bundle)
    assert done.returncode == 0
    assert done.stdout
    assert not done.stderr


@pytest.mark.parametrize("spelling", ["file://{}", "~/{}"])
def test_a_path_may_begin_with_file_or_a_tilde(command, bundle, picture, tmp_path, spelling):
    output = spelling.format("out.txt" if spelling.startswith("~") else tmp_path / "out.txt")
    done = command("caption", picture, "-o", output, "-m", bundle, env={"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.txt").read_text()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("caption a.jpg -o https://a.example/b", "nothing is downloaded"),
        ("caption a.jpg --beam 0", "0 is not in the range 1<=x<=100"),
        ("caption a.jpg --beam many", "'many' is not a valid"),
        ("caption a.jpg --precision int4", "'int4' is not one of"),
        ("caption a.jpg --beam", "requires an argument"),
        ("caption a.jpg --bean 3", "No such option"),
        ("score", "Missing argument"),
        ("search dog", "Missing option '--index'"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(command, line, message):
    done = command(*line.split())
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("Error: ") == 1
    assert not done.stdout


def test_completion_names_commands_and_options(command):
    def completed(words: str) -> list[str]:
        count = len(words.split()) - (0 if words.endswith(" ") else 1)
        shell = {"_MRNN_EDGE_COMPLETE": "complete_bash", "COMP_WORDS": words}
        return command(env={**shell, "COMP_CWORD": str(count)}).stdout.split()

    assert "caption" in completed("mrnn-edge ca")
    assert "--beam" in completed("mrnn-edge caption --be")
