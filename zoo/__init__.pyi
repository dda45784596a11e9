from .api import evaluate as evaluate
from .api import info as info
from .api import list_models as list_models
from .api import load as load
from .comparison import Comparison as Comparison
from .comparison import compare as compare
from .data.dataset import Dataset as Dataset
from .registry import Spec as Spec
from .registry import build as build
from .registry import register as register
from .run import Run as Run
from .schema import Schema as Schema
from .training.train import train as train

__version__: str
