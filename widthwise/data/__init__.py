"""What networks learn from: data sets as raw arrays with their normalization (needs no JAX)."""

from ._cifar import cifar10 as cifar10
from ._cifar import cifar100 as cifar100
from ._cifar import cifar_records as cifar_records
from ._csv import csv as csv
from ._dataset import Dataset as Dataset
from ._digits import digits as digits
from ._fashion_mnist import fashion_mnist as fashion_mnist
from ._from_arrays import DataWarning as DataWarning
from ._from_arrays import from_arrays as from_arrays
from ._idx import read_idx as read_idx
from ._load import load as load
from ._mnist import mnist as mnist
from ._npz import npz as npz
from ._places import cache_folder as cache_folder
from ._places import found_on_disk as found_on_disk
from ._places import private_folder as private_folder
from ._sources import SOURCES as SOURCES
from ._sources import SourceFile as SourceFile
from ._tar import read_members as read_members
from ._teachers import linear_teacher as linear_teacher
from ._teachers import mlp_teacher as mlp_teacher
