"""Sets of tensorflow-datasets: read without TensorFlow, prepared without it, or refused."""

import functools
import gzip
import http.server
import io
import json
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import absl.logging
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from rich.console import Console
from tensorflow_datasets.core import registered

from gan_jax.config import Config
from gan_jax.data import Dataset, Part, load, preparing
from gan_jax.errors import InputError
from gan_jax.fitting import load_dataset

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
MNIST_FILES = [
    f"{part}-{kind}-ubyte.gz"
    for part in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
]
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 6, 5, 3), np.uint8)
LABEL = tfds.features.ClassLabel(num_classes=7)
IMAGE = tfds.features.Image(shape=(None, None, 3))
REACHABLE = preparing.reachable  # itself: tests get a stand-in


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A download would retry for minutes; no test may start one by accident."""
    monkeypatch.setattr(preparing, "reachable", lambda url: False)


def example(number: int, **more: Any) -> dict[str, Any]:
    return {"image": Image.fromarray(IMAGES[number]), "label": number % 7, **more}


def prepare(
    root: Path,
    splits: dict[str, list[dict[str, Any]]],
    supervised: tuple[str, str] | None = None,
    **features: Any,
) -> Path:
    """Write a little set, named tiny, as tensorflow-datasets writes it."""
    with registered.skip_registration():

        class Tiny(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.0.0")

            def _info(self) -> tfds.core.DatasetInfo:
                return tfds.core.DatasetInfo(
                    builder=self,
                    features=tfds.features.FeaturesDict(features),
                    supervised_keys=supervised,
                )

            def _split_generators(self, dl_manager: Any) -> Any:
                return {name: iter(list(enumerate(rows))) for name, rows in splits.items()}

            def _generate_examples(self) -> Any:
                raise NotImplementedError

    builder = Tiny(data_dir=root, file_format="array_record")
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    builder.download_and_prepare(download_config=config)
    return Path(builder.data_dir)


def rows(part: Any) -> list[tuple[bytes, int]]:
    assert isinstance(part, Part)
    assert part.labels is not None
    samples = [sample.tobytes() for sample in part.samples]
    return sorted(zip(samples, part.labels.tolist(), strict=True))


def expected(numbers: range) -> list[tuple[bytes, int]]:
    return sorted((IMAGES[number].tobytes(), number % 7) for number in numbers)


def refusal(name: str, root: Path) -> str:
    with pytest.raises(InputError) as caught:
        load(name, data_dir=str(root))
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_a_prepared_set(tmp_path: Path) -> None:
    splits = {
        "train": [example(number, more=1) for number in range(8)],
        "test": [example(number, more=1) for number in range(8, 12)],
        "validation": [example(0, more=1)],
    }
    prepare(tmp_path, splits, image=IMAGE, label=LABEL, more=np.int64)
    dataset = load("tiny", data_dir=str(tmp_path))
    assert rows(dataset.train) == expected(range(8))
    assert rows(dataset.test) == expected(range(8, 12))
    assert (dataset.sample_shape, dataset.classes, dataset.note) == ((6, 5, 3), 7, "")


def test_the_first_start_says_why_it_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def log(level: int, message: str, times: int) -> None:
        absl.logging.log(level, message)  # which would be silent in all tests but the first
        absl.logging.log(level, "another word")

    monkeypatch.setattr(absl.logging, "log_first_n", log)
    prepare(tmp_path, {"train": [example(n) for n in range(12)]}, image=IMAGE, label=LABEL)
    output = io.StringIO()
    console = Console(file=output, width=200)
    config = Config(dataset="tiny", data_dir=str(tmp_path))
    for _ in range(2):
        load_dataset(config, console)
    told = output.getvalue().splitlines()
    assert told[0] == "decoding tiny, once: the next start finds it decoded"
    assert [line.split(":")[0] for line in told[1:]] == ["tiny", "tiny"]
    assert {record.getMessage() for record in caplog.records} == {"another word"}


def test_blocks_join(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gan_jax.data.prepared.BLOCK", 5)
    splits = {name: [example(number) for number in range(12)] for name in ("train", "test")}
    prepare(tmp_path, splits, image=IMAGE, label=LABEL)
    assert rows(load("tiny", data_dir=str(tmp_path)).train) == expected(range(12))


def test_data_dir_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path, {"train": [example(n) for n in range(12)]}, image=IMAGE, label=LABEL)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    dataset = load("tiny")
    assert sorted(rows(dataset.train) + rows(dataset.test)) == expected(range(12))


def test_validation_split_serves_as_test(tmp_path: Path) -> None:
    splits = {
        "train": [example(number) for number in range(8)],
        "validation": [example(number) for number in range(8, 12)],
    }
    prepare(tmp_path, splits, image=IMAGE, label=LABEL)
    dataset = load("tiny", data_dir=str(tmp_path))
    assert rows(dataset.test) == expected(range(8, 12))
    assert dataset.note == "no test part: the validation part is used as one"


@pytest.mark.parametrize(
    ("supervised", "names", "image", "label"),
    [
        (None, ("picture", "class"), "picture", "class"),
        (("b", "two"), ("a", "b", "one", "two"), "b", "two"),
        (None, ("image", "mask", "label", "coarse"), "image", "label"),
        (None, ("image",), "image", None),
        (None, ("image", "one", "two"), "image", None),
    ],
)
def test_which_features_are_taken(
    supervised: tuple[str, str] | None,
    names: tuple[str, ...],
    image: str,
    label: str | None,
    tmp_path: Path,
) -> None:
    pictures = [name for name in names if name in {"picture", "image", "mask", "a", "b"}]
    features = {name: IMAGE if name in pictures else LABEL for name in names}

    def row(number: int) -> dict[str, Any]:
        right, wrong = IMAGES[number], 255 - IMAGES[number]
        return {
            name: Image.fromarray(right if name == image else wrong)
            if name in pictures
            else (number if name == label else 6)
            for name in names
        }

    splits = {"train": [row(number) for number in range(5)], "test": [row(5)]}
    prepare(tmp_path, splits, supervised, **features)
    dataset = load("tiny", data_dir=str(tmp_path))
    assert isinstance(dataset.train, Part)
    found = sorted(sample.tobytes() for sample in dataset.train.samples)
    assert found == sorted(each.tobytes() for each in IMAGES[:5])
    if label is None:
        assert (dataset.train.labels, dataset.classes) == (None, 0)
    else:
        assert rows(dataset.train) == expected(range(5))


def test_no_image_feature(tmp_path: Path) -> None:
    prepare(tmp_path, {"train": [{"label": 1}]}, label=LABEL)
    message = refusal("tiny", tmp_path)
    assert "not one image a row" in message
    assert "label (ClassLabel)" in message


def test_no_image_feature_is_seen_before_the_download(tmp_path: Path) -> None:
    assert "text (Text)" in refusal("imdb_reviews/plain_text", tmp_path)


def test_no_telling_which_image(tmp_path: Path) -> None:
    picture = Image.fromarray(IMAGES[0])
    prepare(tmp_path, {"train": [{"a": picture, "b": picture}]}, a=IMAGE, b=IMAGE)
    assert "a (Image), b (Image)" in refusal("tiny", tmp_path)


def test_mixed_sizes(tmp_path: Path) -> None:
    small = {"image": Image.fromarray(IMAGES[0][:4]), "label": 0}
    splits = {"train": [small, *(example(number) for number in range(3))]}
    prepare(tmp_path, splits, image=IMAGE, label=LABEL)
    message = refusal("tiny", tmp_path)
    assert "tiny/1.0.0: train: row" in message
    assert "(4, 5, 3)" in message
    assert "(6, 5, 3)" in message


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_files_have_the_channels_that_the_set_declares(tmp_path: Path, channels: int) -> None:
    grey = Image.fromarray(IMAGES[0, ..., 0])
    grey.save(tmp_path / "grey.png")
    row = {"image": str(tmp_path / "grey.png"), "label": 0}
    image = tfds.features.Image(shape=(None, None, channels))
    prepare(tmp_path, {"train": [row] * 12}, image=image, label=LABEL)
    train = load("tiny", data_dir=str(tmp_path)).train
    assert isinstance(train, Part)
    wanted = np.repeat(np.asarray(grey)[..., None], channels, axis=-1)
    assert (np.asarray(train.samples) == wanted).all() and train.samples.shape[1:] == wanted.shape


def test_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path, {"train": [example(n) for n in range(12)]}, image=IMAGE, label=LABEL)
    monkeypatch.setattr("gan_jax.data.checks.MAX_BYTES", IMAGES.nbytes - 1)
    assert f"{IMAGES.nbytes:,} bytes" in refusal("tiny", tmp_path)


def test_no_train_split(tmp_path: Path) -> None:
    prepare(tmp_path, {"test": [example(0)], "extra": [example(1)]}, image=IMAGE, label=LABEL)
    assert "no split named train; found extra, test" in refusal("tiny", tmp_path)


def test_a_name_does_not_climb_out_of_data_dir(tmp_path: Path) -> None:
    prepare(tmp_path, {"train": [example(n) for n in range(12)]}, image=IMAGE, label=LABEL)
    (tmp_path / "below").mkdir()
    assert "no file, folder or known data set" in refusal("../tiny", tmp_path / "below")


def test_newest_version_is_read(tmp_path: Path) -> None:
    folder = prepare(tmp_path, {"train": [example(n) for n in range(12)]}, image=IMAGE, label=LABEL)
    for version in ("1.9.0", "1.10.0", "2.0.0.incomplete"):
        shutil.copytree(folder, folder.with_name(version))
    for version in ("1.0.0", "1.9.0", "2.0.0.incomplete"):
        (folder.with_name(version) / "features.json").write_text("broken")
    assert load("tiny", data_dir=str(tmp_path)).classes == 7


def test_configurations_must_be_named(tmp_path: Path) -> None:
    folder = prepare(tmp_path, {"train": [example(n) for n in range(12)]}, image=IMAGE, label=LABEL)
    for name in ("one", "two"):
        shutil.copytree(folder, tmp_path / "tiny" / name / "1.0.0")
    shutil.rmtree(folder)
    assert "tiny/one, tiny/two" in refusal("tiny", tmp_path)
    assert load("tiny/two", data_dir=str(tmp_path)).classes == 7
    assert "emnist/letters" in refusal("emnist", tmp_path)


def test_prepared_as_tfrecord(tmp_path: Path) -> None:
    folder = prepare(tmp_path, {"train": [example(0)]}, image=IMAGE, label=LABEL)
    info = json.loads((folder / "dataset_info.json").read_text())
    for change in ({"fileFormat": "tfrecord"}, {}):
        info.pop("fileFormat", None)
        (folder / "dataset_info.json").write_text(json.dumps({**info, **change}))
        message = refusal("tiny", tmp_path)
        assert "prepared as tfrecord" in message
        assert "file_format='array_record'" in message


@pytest.mark.parametrize("suffix", ["-of-00001", "dataset_info.json", "features.json"])
@pytest.mark.parametrize("content", [b"", b"nonsense", b"[]", b"\xff\xfe"])
def test_damaged_file(suffix: str, content: bytes, tmp_path: Path) -> None:
    folder = prepare(tmp_path, {"train": [example(0)]}, image=IMAGE, label=LABEL)
    (path,) = (each for each in folder.iterdir() if each.name.endswith(suffix))
    path.write_bytes(content)
    assert "tiny/1.0.0" in refusal("tiny", tmp_path)


@pytest.mark.parametrize(
    ("name", "near"), [("mnst", "mnist"), ("CIFAR10", "cifar10"), ("rign", "ring")]
)
def test_unknown_name(name: str, near: str, tmp_path: Path) -> None:
    message = refusal(name, tmp_path)
    assert f"{name!r} is no file, folder or known data set" in message
    assert message.endswith(f"did you mean {near!r}?")


@pytest.mark.parametrize("name", ["zzzzzz", "no/such", "../x", "mnist/..", "emnist/none", "a\nb"])
def test_unknown_name_like_no_other(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")  # where no neighbour is called x
    assert refusal(name, tmp_path).startswith("dataset: ")


def test_unknown_configuration(tmp_path: Path) -> None:
    message = refusal("emnist/leters", tmp_path)
    assert message.startswith("dataset: 'emnist/leters' is not one of emnist/byclass, ")
    assert message.endswith("; did you mean 'emnist/letters'?")


def test_a_version_is_not_chosen_by_name(tmp_path: Path) -> None:
    for name in ("mnist/9.9.9", "mnist/3.0.1"):
        message = refusal(name, tmp_path)
        assert message.startswith(f"dataset: {name!r}: ")
        assert message.endswith("its version (3.0.1) is not chosen by name; give 'mnist' alone")


def test_images_of_several_sizes_are_refused_before_the_download(tmp_path: Path) -> None:
    for name in ("oxford_flowers102", "cycle_gan/apple2orange"):
        message = refusal(name, tmp_path)
        assert "declared as (None, None, 3), of no fixed size" in message
        assert "TensorFlow" not in message


@pytest.mark.skipif(find_spec("tensorflow") is not None, reason="TensorFlow is installed")
def test_a_builder_that_needs_tensorflow_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refusal("titanic", tmp_path)
    assert message == (
        "dataset: 'titanic' cannot even be looked at without TensorFlow; "
        "run: pip install tensorflow-cpu"
    )
    assert capsys.readouterr() == ("", "")


def must_not_run(*_: object) -> None:
    pytest.fail("tried to download")


def test_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "_download_and_prepare", must_not_run)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fashion_mnist").write_bytes(b"a name of ours is never a path")
    message = refusal("fashion_mnist", tmp_path)
    assert "eu-central-1.amazonaws.com cannot be reached" in message
    assert all(name in message for name in MNIST_FILES)
    assert str(tmp_path / "downloads" / "manual" / "fashion_mnist") in message


def test_without_tensorflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "_download_and_prepare", must_not_run)
    monkeypatch.setattr(preparing, "find_spec", lambda name: None)
    message = refusal("cifar10", tmp_path)
    assert "pip install tensorflow-cpu && python -c" in message
    call = f"tfds.builder('cifar10', data_dir='{tmp_path}', file_format='array_record')"
    assert call in message


@pytest.mark.parametrize("online", [True, False])
def test_with_tensorflow(online: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, prepared = [], []
    monkeypatch.setattr(preparing, "find_spec", lambda name: name)
    monkeypatch.setattr(preparing, "reachable", lambda url: asked.append(url) or online)
    monkeypatch.setattr(preparing, "_download_and_prepare", lambda *given: prepared.append(given))
    with pytest.raises(InputError):
        load("cifar10", data_dir=str(tmp_path))
    assert asked == ["https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"]
    assert len(prepared) == online


def test_wrong_files_by_hand(tmp_path: Path) -> None:
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    for name in MNIST_FILES:
        (manual / name).write_bytes(gzip.compress(b"something else"))
    message = refusal("mnist", tmp_path)
    assert f"dataset: 'mnist': cannot be prepared in {tmp_path}" in message
    assert "wrong checksum" in message


def assert_second_start_is_light(name: str, root: Path, prepared: Dataset) -> None:
    """A process that finds the set decoded imports neither what reads it nor jax."""
    program = (
        "import sys; from gan_jax.data import load\n"
        f"dataset = load({name!r}, data_dir={str(root)!r})\n"
        "loaded = {'tensorflow_datasets', 'PIL', 'sklearn', 'jax'} & set(sys.modules)\n"
        "sys.stdout.write(f'{dataset.fingerprint} {sorted(loaded)}')"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.fullmatch(r"[0-9a-f]{64} \[\]", result.stdout)
    assert result.stdout.split()[0] == prepared.fingerprint


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        del format, args


def test_download_without_tensorflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole way through tensorflow-datasets' own downloader, from a server of our own."""
    served = tmp_path / "served"
    served.mkdir()
    grey = np.random.default_rng(0).integers(0, 256, (9, 28, 28), np.uint8)
    for name in MNIST_FILES:
        array = grey if "images" in name else np.arange(9, dtype=np.uint8)
        array = array if "train" in name else array[:4]
        header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        (served / name).write_bytes(gzip.compress(header + array.tobytes()))
    handler = functools.partial(Quiet, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr(preparing, "reachable", lambda url: True)
        monkeypatch.setattr(tfds.builder_cls("kmnist"), "URL", address)
        monkeypatch.setenv("no_proxy", "*")
        dataset = load("kmnist", data_dir=str(tmp_path / "root"))
        server.shutdown()
    assert capsys.readouterr().out == ""
    for found, count in ((dataset.train, 9), (dataset.test, 4)):
        assert rows(found) == sorted((grey[row].tobytes(), row) for row in range(count))
    assert (dataset.sample_shape, dataset.classes) == ((28, 28, 1), 10)
    assert_second_start_is_light("kmnist", tmp_path / "root", dataset)


def test_a_server_that_is_overloaded_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked three times for a file; the library left to itself asks eleven times."""
    asked = Counter()

    class Overloaded(Quiet):
        def do_GET(self) -> None:
            asked[self.path] += 1
            self.send_error(503)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Overloaded) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setattr(preparing, "reachable", lambda url: True)
        address = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr(tfds.builder_cls("kmnist"), "URL", address)
        monkeypatch.setenv("no_proxy", "*")
        with pytest.raises(InputError, match="'kmnist': cannot be prepared in .*503"):
            load("kmnist", data_dir=str(tmp_path))
        server.shutdown()
    assert set(asked.values()) == {3}


def test_reachable_without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.getproxies", dict)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/file"
        assert REACHABLE(url)
    assert not REACHABLE(url)


class Proxy(Quiet):
    status = 403
    asked: ClassVar[list[str]] = []

    def do_CONNECT(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        allowed = self.headers["Proxy-Authorization"] == "Basic bWU6YSBi"  # me:a b
        self.send_response(self.status if allowed else 407)
        self.end_headers()

    do_HEAD = do_CONNECT


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Proxy]]:
    """A proxy for all addresses, as the environment names it, which knows who asks."""
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        for scheme in ("http", "https"):
            monkeypatch.setenv(f"{scheme}_proxy", f"http://me:a%20b@127.0.0.1:{server.server_port}")
        monkeypatch.setattr(Proxy, "asked", [])
        yield Proxy
        server.shutdown()


@pytest.mark.parametrize(
    ("url", "status", "online"),
    [
        ("https://nowhere.invalid/file", 200, True),
        ("https://nowhere.invalid/file", 403, False),
        ("https://nowhere.invalid/file", 502, False),
        ("http://nowhere.invalid/file", 200, True),
        ("http://nowhere.invalid/file", 404, True),
        ("http://nowhere.invalid/file", 403, False),
        ("http://nowhere.invalid/file", 502, False),
    ],
)
def test_reachable_by_proxy(
    url: str, status: int, online: bool, proxy: type[Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "status", status)
    assert REACHABLE(url) == online
    secure = url.startswith("https")
    assert proxy.asked == ["CONNECT nowhere.invalid:443" if secure else f"HEAD {url}"]


def test_a_proxy_that_refuses_means_offline(
    proxy: type[Proxy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "reachable", REACHABLE)
    monkeypatch.setattr(preparing, "_download_and_prepare", must_not_run)
    for name in ("mnist", "kmnist"):
        assert "cannot be reached to download it; put t10k" in refusal(name, tmp_path)
    assert len(proxy.asked) == 2


def test_a_proxy_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert preparing.PATIENCE < 1  # of the two seconds in which a user without network is told
    monkeypatch.setattr(preparing, "PATIENCE", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": address})
        assert not REACHABLE("https://nowhere.invalid/file")


def test_addresses_that_need_no_proxy(proxy: type[Proxy], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert REACHABLE(f"https://127.0.0.1:{server.getsockname()[1]}/file")
    assert not proxy.asked


def test_a_name_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.getproxies", dict)
    released, gave_up = threading.Event(), threading.Event()

    def hang(*_: object, **__: object) -> socket.socket:
        released.wait(timeout=20)
        gave_up.set()
        raise OSError

    monkeypatch.setattr(preparing, "PATIENCE", 0.01)
    monkeypatch.setattr(socket, "create_connection", hang)
    assert not REACHABLE("http://nowhere.invalid/file")
    assert not gave_up.is_set()
    released.set()


@pytest.mark.long
@pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason=f"{SHARED / 'mnist'} is absent")
def test_mnist_prepared_is_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its four files, as a user without TensorFlow and network would."""
    (tmp_path / "downloads" / "manual").mkdir(parents=True)
    (tmp_path / "downloads" / "manual" / "mnist").symlink_to(SHARED / "mnist")
    monkeypatch.setattr(preparing, "reachable", must_not_run)
    prepared = load("mnist", data_dir=str(tmp_path))
    original = load(str(SHARED / "mnist"))
    assert rows(prepared.train) == rows(original.train)
    assert rows(prepared.test) == rows(original.test)
    assert (prepared.classes, prepared.note) == (10, "")
    # What was written is what tensorflow-datasets' own reader finds.
    theirs: Any = tfds.data_source("mnist", split="test", data_dir=tmp_path, download=False)
    assert isinstance(prepared.test.labels, np.ndarray)
    assert [theirs[row]["label"] for row in range(9)] == prepared.test.labels[:9].tolist()
