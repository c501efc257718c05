"""What lies on people's disks, met by the command: debris, zips, quotas, lists, odd requests."""

import subprocess
import sys
import zipfile

import pytest
from conftest import noise_picture

from mrnn_edge import machine
from mrnn_edge.errors import OptionError
from mrnn_edge.index.index import Index


def test_debris_is_counted_in_the_summary(command, bundle, tmp_path):
    folder = tmp_path / "photos"
    (folder / "@eaDir").mkdir(parents=True)
    for name in ("a.png", "b.png", "@eaDir/a.png"):
        noise_picture(folder / name)
    (folder / "._a.png").write_bytes(b"\0\5\26\7")
    done = command("caption", "-r", folder, "--model", bundle)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 2
    assert "2 left out as debris, such as" in done.stderr


def test_one_picture_gives_its_caption_alone_however_it_is_named(command, bundle, tmp_path):
    picture = noise_picture(tmp_path / "a b.png")
    named = (picture, f"file://{tmp_path}/a%20b.png", "~/a b.png")
    said = {
        command("caption", name, "--model", bundle, "--quiet", env={"HOME": str(tmp_path)}).stdout
        for name in named
    }
    assert len(said) == 1
    assert "\t" not in said.pop()


def test_sentences_may_come_from_an_open_file(captioner, tmp_path):
    listed = tmp_path / "sentences.txt"
    listed.write_text("red dog\n\nblue bird\r\n", encoding="utf-8-sig", newline="")
    with listed.open(encoding="utf-8") as sentences:
        ranked = captioner.rank(noise_picture(tmp_path / "a.png"), sentences)
    assert {each.sentence for each in ranked} == {"red dog", "blue bird"}


def test_an_index_replaces_another_file_with_force_and_a_picture_never(
    command, bundle, captioner, tmp_path
):
    folder = tmp_path / "photos"
    folder.mkdir()
    picture = noise_picture(folder / "a.png")
    theirs = tmp_path / "theirs"
    theirs.write_text("my words")
    assert command("index", folder, "-o", theirs, "--model", bundle).returncode == 2
    assert theirs.read_text() == "my words"
    assert command("index", folder, "-o", theirs, "--model", bundle, "--force").returncode == 0
    assert len(Index.open(theirs)) == 1
    kept = picture.read_bytes()
    with pytest.raises(OptionError, match="is a picture of"):
        Index.build(captioner, folder, picture, replace=True)
    assert picture.read_bytes() == kept


def test_from_within_a_zip_one_line_says_to_install(tmp_path, root):
    archive = tmp_path / "mrnn_edge.whl"
    with zipfile.ZipFile(archive, "w") as wheel:
        for package in (root / "mrnn_edge", root / "cli" / "mrnn_edge_cli"):
            for file in package.rglob("*.py"):
                wheel.write(file, file.relative_to(package.parent))
    started = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from mrnn_edge_cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", started, archive, "caption", "a.png"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert "install the wheel with pip" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("value", "said"), [(None, "off"), ("0", "left to ONNX Runtime")])
def test_doctor_says_whether_the_runtime_reports(command, bundle, tmp_path, value, said):
    # An environment variable cannot be unset through env=, but "1" is what unset becomes.
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    done = command("doctor", "--model", bundle, env={**home, "ORT_DISABLE_TELEMETRY": value or "1"})
    (line,) = (each for each in done.stdout.splitlines() if " telemetry " in each)
    assert said in line


@pytest.mark.parametrize("name", ["cpu,cpuacct", "cpuacct,cpu", "cpu"])
@pytest.mark.parametrize(("quota", "cores"), [("150000", 1), ("300000", 3), ("-1", 8), ("x", 8)])
def test_a_quota_of_version_1_counts_under_each_name_of_its_mount(
    tmp_path, monkeypatch, name, quota, cores
):
    monkeypatch.setattr(machine, "usable_cpus", lambda: set(range(8)))
    controllers = "cpuacct,cpu" if name == "cpuacct,cpu" else "cpu,cpuacct"
    for path, text in (
        ("proc/self/cgroup", f"4:{controllers}:/docker/abc\n"),
        (f"sys/fs/cgroup/{name}/cpu.cfs_quota_us", quota),
        (f"sys/fs/cgroup/{name}/cpu.cfs_period_us", "100000"),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert machine.usable_cores(tmp_path) == cores


def test_training_computes_in_no_more_threads_than_a_quota_allows(monkeypatch):
    import torch

    from mrnn_edge_train import torch_device as device

    chosen = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    monkeypatch.setattr(device, "usable_cores", lambda: 2)
    device.use_threads(None)
    device.use_threads(5)
    assert chosen == [2, 5]


def test_a_name_that_is_no_path_is_refused_in_one_line(command, bundle):
    done = command("caption", "no\nsuch.jpg", "--model", bundle, "--quiet")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
