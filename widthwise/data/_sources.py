"""Where files of images come from and what they must contain: one table entry per data set."""

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class SourceFile:
    """One gzipped file; distributors recompress, so the content's hash is checked wherever it lies."""

    name: str
    sha256: str
    archive_sha256: str


@dataclass(frozen=True)
class Source:
    """One data set of gray images in four IDX files; input: (x / 255 - mean) / std."""

    train_images: SourceFile
    train_labels: SourceFile
    test_images: SourceFile
    test_labels: SourceFile
    mirrors: tuple[str, ...]
    mean: float
    std: float
    classes: int
    debian_package: str | None = None
    debian_folder: str | None = None

    @property
    def files(self) -> tuple[SourceFile, ...]:
        """The four files."""
        return self.train_images, self.train_labels, self.test_images, self.test_labels


FASHION_MNIST = Source(
    train_images=SourceFile(
        "train-images-idx3-ubyte.gz",
        sha256="c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        archive_sha256="3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ),
    train_labels=SourceFile(
        "train-labels-idx1-ubyte.gz",
        sha256="bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        archive_sha256="a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    ),
    test_images=SourceFile(
        "t10k-images-idx3-ubyte.gz",
        sha256="5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        archive_sha256="346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    ),
    test_labels=SourceFile(
        "t10k-labels-idx1-ubyte.gz",
        sha256="0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        archive_sha256="67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ),
    mean=0.2860,
    std=0.3530,
    classes=10,
    debian_package="dataset-fashion-mnist",
    debian_folder="/usr/share/datasets/fashion-mnist",
)

SOURCES = MappingProxyType({"fashion_mnist": FASHION_MNIST})
