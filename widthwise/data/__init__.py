"""What networks learn from: data sets as raw arrays with their normalization (needs no JAX)."""

from widthwise.data._cifar import cifar10 as cifar10
from widthwise.data._cifar import cifar100 as cifar100
from widthwise.data._dataset import Dataset as Dataset
from widthwise.data._digits import digits as digits
from widthwise.data._fashion_mnist import fashion_mnist as fashion_mnist
from widthwise.data._load import load as load
from widthwise.data._mnist import mnist as mnist
from widthwise.data._npz import npz as npz
from widthwise.data._teachers import linear_teacher as linear_teacher
from widthwise.data._teachers import mlp_teacher as mlp_teacher

from ._places import cache_folder as cache_folder
from ._places import found_on_disk as found_on_disk
from ._sources import SOURCES as SOURCES
