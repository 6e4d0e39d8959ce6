"""Feedback: how target propagation maps a target of one layer to a target of the layer below."""

from ._base import AbstractFeedback as AbstractFeedback
from ._ridge import RidgeFeedback as RidgeFeedback
from ._ridge import ridge_map as ridge_map
from ._tied import TiedFeedback as TiedFeedback
from ._trained import LEARNS as LEARNS
from ._trained import TrainedFeedback as TrainedFeedback
