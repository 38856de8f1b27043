"""The only package that knows that TensorRT has versions: 8.6, 10.x and 11.x behind one face.

``Api`` wraps one ``INetworkDefinition`` while a network is lowered into it. The functions answer
what is installed. Nothing here imports tensorrt before it is asked for, and nothing asks TensorRT
anything before a GPU was found: without one it crashes the process.
"""

from trtdsl.tensorrt_api.api import Api
from trtdsl.tensorrt_api.installed import import_tensorrt, installed_version, why_unavailable
from trtdsl.tensorrt_api.release import (
    data_type,
    dtype_of,
    has_ahead_of_time,
    has_aliases,
    has_progress_monitor,
    has_python_plugins,
    is_strongly_typed,
    network_flags,
    plugin_creator,
    refits_one_by_one,
    version_number,
)
from trtdsl.tensorrt_api.settings import (
    allow_aliases,
    allow_precision,
    allow_refit,
    context_memory,
    context_without_memory,
    only_libraries,
    set_compatibility,
    set_workspace,
    share_profiles,
)
from trtdsl.weights.folded import Folded, Placed

__all__ = [
    "Api",
    "Folded",
    "Placed",
    "allow_aliases",
    "allow_precision",
    "allow_refit",
    "context_memory",
    "context_without_memory",
    "data_type",
    "dtype_of",
    "has_ahead_of_time",
    "has_aliases",
    "has_progress_monitor",
    "has_python_plugins",
    "import_tensorrt",
    "installed_version",
    "is_strongly_typed",
    "network_flags",
    "only_libraries",
    "plugin_creator",
    "refits_one_by_one",
    "set_compatibility",
    "set_workspace",
    "share_profiles",
    "version_number",
    "why_unavailable",
]
