"""Built-in data sets by name. To add one, write a function without required arguments and add its name to `__all__`."""

from __future__ import annotations

import gzip
import io
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.dataset import Dataset
from isthmus.data.download import Content, find_or_fetch
from isthmus.data.idx import read_idx_stream

__all__ = ["digits", "fashion_mnist", "mnist"]

_FILES = ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte")


def mnist() -> Dataset:
    """MNIST: 60,000 training and 10,000 test images of handwritten digits, 28x28 uint8; part of this package.

    LeCun, Cortes and Burges, The MNIST database of handwritten digits, 1998.

    Returns:
        The data set, with labels.

    Examples:
        >>> mnist = isthmus.data.mnist()
        >>> mnist.train.shape, mnist.train.dtype
        ((60000, 28, 28), dtype('uint8'))
    """

    def embedded(name: str) -> npt.NDArray[Any]:
        with (resources.files("isthmus.data") / "mnist" / f"{name}.gz").open("rb") as file:
            return read_idx_stream(gzip.GzipFile(fileobj=file), name)

    train, test, train_labels, test_labels = map(embedded, _FILES)
    source = "Yann LeCun, Corinna Cortes, Christopher J.C. Burges: the MNIST database"
    return Dataset(
        "mnist", train, test, train_labels, test_labels, source=source, license="CC BY-SA 3.0", kind="images"
    )


def fashion_mnist(download: bool = True) -> Dataset:
    """Fashion-MNIST: 60,000 training and 10,000 test images of clothes, 28x28 uint8; on this machine or downloaded (30 MB).

    Xiao, Rasul and Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms, 2017.

    Args:
        download: whether to download files that are not on this machine.

    Returns:
        The data set, with labels.

    Raises:
        DataError: the files are not on this machine and cannot be downloaded.
    """
    contents = find_or_fetch("fashion-mnist", FASHION_MNIST, _FASHION_MNIST_MIRRORS, FASHION_MNIST_INSTALLED, download)
    train, test, train_labels, test_labels = (
        read_idx_stream(io.BytesIO(content), "Fashion-MNIST") for content in contents
    )
    source = "Han Xiao, Kashif Rasul, Roland Vollgraf, Zalando Research: Fashion-MNIST"
    return Dataset("fashion_mnist", train, test, train_labels, test_labels, source=source, license="MIT", kind="images")


FASHION_MNIST = {  # in the order of Dataset's fields
    _FILES[0]: Content(47_040_016, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
    _FILES[1]: Content(7_840_016, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
    _FILES[2]: Content(60_008, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
    _FILES[3]: Content(10_008, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
}
_FASHION_MNIST_MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
)
FASHION_MNIST_INSTALLED = ("/usr/share/datasets/fashion-mnist",)  # by Debian's dataset-fashion-mnist


def digits() -> Dataset:
    """Digits: 1,437 training and 360 test images of handwritten digits, 8x8 float32 in [0, 1]; part of scikit-learn.

    The original gray levels 0 to 16 are divided by 16. The test part is a fixed, stratified fifth (random_state=0).
    Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI repository, 1998.

    Returns:
        The data set, with labels.

    Examples:
        >>> digits = isthmus.data.digits()
        >>> digits.train.shape, digits.test.shape
        ((1437, 8, 8), (360, 8, 8))
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    images, labels = (bunch.images / 16).astype(np.float32), bunch.target
    train, test, train_labels, test_labels = train_test_split(
        images, labels, test_size=0.2, stratify=labels, random_state=0
    )
    source = "E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, by way of scikit-learn"
    return Dataset("digits", train, test, train_labels, test_labels, source=source, license="CC BY 4.0", kind="images")
