"""Preparing sets with tensorflow-datasets' own builders: without TensorFlow where that can be done.

For MNIST, Fashion-MNIST and KMNIST the builder does everything itself except for the two steps in
which it needs TensorFlow, un-gzipping and PNG encoding. It checks sizes and checksums, shuffles,
writes and describes, so that the result is the one everybody has.
"""

import contextlib
import io
import os
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from gan_jax.data.checks import reading, shown
from gan_jax.data.idx import read_idx
from gan_jax.data.mixtures import MIXTURES
from gan_jax.errors import InputError, lookup, suggestion

__all__ = ["image_and_label", "instructions", "obtainable", "prepare", "reachable"]

WITHOUT_TENSORFLOW = ("mnist", "fashion_mnist", "kmnist")
SPLITS = {"train": "train", "test": "t10k"}  # and how their files' names begin
RETRIES = 2  # half a second; the library's ten take minutes
PATIENCE = 0.8  # seconds; left to itself, a download retries for minutes before it gives up


def prepare(name: str, root: Path) -> Path:
    """Prepare a set as array_record files, and return their folder.

    Raises:
        InputError: no such set, or it cannot be prepared here; the message says what to do.
    """
    builder = obtainable(name, root)
    if name in WITHOUT_TENSORFLOW:
        _avoid_tensorflow(builder)
    _download_and_prepare(name, builder, root)
    return Path(builder.data_dir)


def obtainable(name: str, root: Path) -> Any:
    """The builder of a set that can be prepared here, as far as can be told in a second.

    Raises:
        InputError: as `prepare`.
    """
    builder = _builder(name, root)
    _check_images(name, builder.info)
    if name not in WITHOUT_TENSORFLOW and find_spec("tensorflow") is None:
        raise InputError(
            f"dataset: {name!r} is not in {shown(root)}, and preparing it needs TensorFlow; "
            f"run: pip install tensorflow-cpu && {instructions(name, root)}"
        )
    _check_reachable(name, builder, root)
    return builder


def instructions(name: str, root: Path) -> str:
    """The command that prepares a set where TensorFlow is installed."""
    builder = f"tfds.builder('{name}', data_dir='{shown(root)}', file_format='array_record')"
    return f'python -c "import tensorflow_datasets as tfds; {builder}.download_and_prepare()"'


def image_and_label(where: str, info: Any) -> tuple[str, str | None]:
    """Names of the image and of the label, if any; tensorflow-datasets' own choice goes first.

    Raises:
        InputError: no image, or several of which none is the obvious one.
    """
    import tensorflow_datasets as tfds

    chosen = list(info.supervised_keys or ())
    image = _feature(info, tfds.features.Image, [*chosen, "image"])
    if image is None:
        found = sorted(f"{name} ({type(each).__name__})" for name, each in info.features.items())
        raise InputError(f"{where}: not one image a row; the features are {', '.join(found)}")
    return image, _feature(info, tfds.features.ClassLabel, [*chosen, "label"])


def reachable(url: str) -> bool:
    """Whether that address answers at once, by way of the proxy in front of it if there is one."""
    from http.client import HTTPException  # here, because it is slow and hardly ever needed

    answered = threading.Event()

    def ask() -> None:
        with contextlib.suppress(OSError, ValueError, HTTPException):
            if _answers(url):
                answered.set()

    # In a thread, because looking up a name cannot be given a time limit.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return answered.is_set()


def _answers(url: str) -> bool:
    """Whether that address can be connected to, or the proxy in front of it is willing to do so.

    Raises:
        OSError, ValueError, HTTPException: which means no.
    """
    from http.client import HTTPConnection

    target, proxy = urlsplit(url), _proxy(url)
    near = proxy or target
    with contextlib.closing(
        HTTPConnection(str(near.hostname), _port(near), timeout=PATIENCE)
    ) as connection:
        if proxy is None or proxy.scheme != "http":  # other kinds are not asked in plain HTTP
            connection.connect()
        elif target.scheme == "https":
            connection.set_tunnel(str(target.hostname), _port(target), _credentials(proxy))
            connection.connect()  # which fails where the proxy refuses
        else:
            connection.request("HEAD", url, headers=_credentials(proxy))
            status = connection.getresponse().status
            # How a proxy says that it will not or cannot; of other answers a download tells more.
            return status not in (403, 407) and status < 500
    return True


def _proxy(url: str) -> SplitResult | None:
    from urllib.request import getproxies, proxy_bypass

    target = urlsplit(url)
    proxy = getproxies().get(target.scheme)
    if not proxy or proxy_bypass(str(target.hostname)):
        return None
    return urlsplit(proxy if "://" in proxy else f"http://{proxy}")


def _port(address: SplitResult) -> int:
    return address.port or (443 if address.scheme == "https" else 80)


def _credentials(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    given = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(given.encode()).decode()}"}


def _builder(name: str, root: Path) -> Any:
    import tensorflow_datasets as tfds

    known = tfds.list_builders(with_community_datasets=False)
    if name.split("/")[0] not in known:
        near = suggestion(name.lower(), ["digits", *MIXTURES, *known])
        raise InputError(f"dataset: {name!r} is no file, folder or known data set{near}")
    with reading(f"dataset: {name!r}"), _told_of_tensorflow(name):
        kind = tfds.builder_cls(name.split("/")[0])
        _check_config(name, kind)
        return tfds.builder(name, data_dir=root, file_format="array_record")


def _check_config(name: str, kind: Any) -> None:
    base, _, config = name.partition("/")
    choices = {f"{base}/{each}": each for each in kind.builder_configs}
    if choices and not config:
        raise InputError(f"dataset: {name!r} must name one of {', '.join(choices)}")
    if choices:
        lookup("dataset", name, choices)
    elif config:
        versions = sorted({str(each) for each in (kind.VERSION, *kind.SUPPORTED_VERSIONS)})
        raise InputError(
            f"dataset: {name!r}: {base!r} has no configurations, and its version "
            f"({', '.join(versions)}) is not chosen by name; give {base!r} alone"
        )


@contextlib.contextmanager
def _told_of_tensorflow(name: str) -> Iterator[None]:
    """Some builders need it from the start; a line is said in place of a banner on stdout."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except ImportError as error:
        if "'tensorflow'" not in str(error):
            raise
        raise InputError(
            f"dataset: {name!r} cannot even be looked at without TensorFlow; "
            "run: pip install tensorflow-cpu"
        ) from error


def _check_images(name: str, info: Any) -> None:
    image, _ = image_and_label(f"dataset: {name!r}", info)
    shape = info.features[image].shape
    if None in shape:
        raise InputError(
            f"dataset: {name!r}: its images are declared as {shape}, of no fixed size; "
            "save them at one size and give their folder"
        )


def _feature(info: Any, kind: type, preferred: list[Any]) -> str | None:
    found = [name for name, feature in info.features.items() if isinstance(feature, kind)]
    for name in preferred:
        if name in found:
            return name
    return found[0] if len(found) == 1 else None


def _avoid_tensorflow(builder: Any) -> None:
    """Replace, in this one builder, the reading that needs TensorFlow by our own."""

    def split_generators(downloads: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        generators = {}
        for split, prefix in SPLITS.items():
            names = (f"{prefix}-images-idx3-ubyte.gz", f"{prefix}-labels-idx1-ubyte.gz")
            paths = downloads.download([urljoin(builder.URL, each) for each in names])
            generators[split] = _examples(*(Path(path) for path in paths))
        return generators

    builder._split_generators = split_generators


def _examples(image_path: Path, label_path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    from PIL import Image

    pairs = zip(read_idx(image_path), read_idx(label_path), strict=True)
    for key, (image, label) in enumerate(pairs):
        # A Pillow image is encoded by Pillow; from an array TensorFlow would have to do it.
        yield key, {"image": Image.fromarray(image), "label": int(label)}


def _manual_folder(name: str, root: Path) -> Path:
    """Where the user's own downloads are looked for; MNIST's relatives share its file names."""
    shared = root / "downloads" / "manual"
    own = shared / name
    return own if os.path.isdir(own) else shared


def _check_reachable(name: str, builder: Any, root: Path) -> None:
    """Refuse at once what would fail after minutes of retries."""
    manual = _manual_folder(name, root)
    missing = {
        url: str(info.filename)
        for url, info in builder.url_infos.items()
        if not (info.filename and os.path.isfile(manual / info.filename))
    }
    hosts = {urlsplit(url).hostname: url for url in missing}
    for host, url in hosts.items():
        if not reachable(url):
            own = root / "downloads" / "manual" / name
            raise InputError(
                f"dataset: {name!r} is not in {shown(root)}, and {host} cannot be reached to "
                f"download it; put {', '.join(missing.values())} into {shown(own)}, "
                "or give another folder as data_dir (--data-dir)"
            )


def _download_and_prepare(name: str, builder: Any, root: Path) -> None:
    import tensorflow_datasets as tfds

    # Its progress belongs on stderr: stdout is for results.
    with (
        reading(f"dataset: {name!r}", f"cannot be prepared in {shown(root)}"),
        contextlib.redirect_stdout(sys.stderr),
        _few_retries(),
    ):
        builder.download_and_prepare(
            download_dir=root / "downloads",
            download_config=tfds.download.DownloadConfig(
                manual_dir=_manual_folder(name, root),
                try_download_gcs=False,  # or it would ask Google's bucket for a prepared copy
            ),
        )


@contextlib.contextmanager
def _few_retries() -> Iterator[None]:
    """Of a server that resets or is overloaded; by a name outside the library's interface."""
    from tensorflow_datasets.core.download import downloader

    usual, downloader.MAX_RETRIES = getattr(downloader, "MAX_RETRIES", None), RETRIES
    try:
        yield
    finally:
        downloader.MAX_RETRIES = usual
