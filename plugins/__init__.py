"""Plugins: layers that TensorRT lacks, each with its kernel, and what they are an alternative to.

A module holds a plugin class, which is a layer like those of ``trtdsl.ir``:
``SearchSorted(right=True)(boundaries, x)``. An engine that holds one imports its module by itself.

Operators that TensorRT's own layers can be put together for are converted to those, in
``trtdsl.layers``: the builder fuses them, and such an engine needs no Python. The plugins for the
same operators take less memory and, where a table of everything against everything would be made
otherwise, less time. ``prefer`` chooses them:

=================== ========================================== =================================
module              operators                                  TensorRT's layers, otherwise
=================== ========================================== =================================
attention           aten::scaled_dot_product_attention         products around a softmax, which
                                                               8.6 fuses, or a layer from 10.14
deformable          torchvision::deform_conv2d                 a grid sample of every tap
roi_align           torchvision::roi_align                     products with whole images
normalization       aten::layer_norm                           a layer, in float32
gelu                aten::gelu, by the error function          an activation
linear              aten::linear, aten::addmm                  a product and a sum
grid_sample_3d      aten::grid_sampler_3d                      eight gathers
fourier             torch.fft: fft, ifft, rfft, irfft          products with matrices
running_extreme     aten::cummax, aten::cummin                 log2(n) steps
search_sorted       aten::searchsorted, aten::bucketize        a comparison of all with all
scatter_reduce      aten::scatter_reduce, aten::scatter_add    a comparison of all with all
suppression         torchvision::nms                           an NMS layer, up to 5000 boxes
=================== ========================================== =================================

``attention``, ``linear``, ``normalization`` and ``gelu`` have kernels for float16 and bfloat16, and
leave all else to the layers; ``linear`` for Hopper GPUs alone, and for large results. They take
what a linear layer gives as it is: heads in its columns, without its bias, before the residual is
added; TensorRT 8.6 does these in kernels of their own in front of a plugin. So they are for use
together, and where the GPU is busy: each costs the host some 10 us a call, unless
``engine.graphs`` is on, and TensorRT fuses no layer with a plugin.

``deformable_attention`` and ``correlation`` are operators that PyTorch lacks too: each module has
a function for use in a ``torch.nn.Module``, which becomes the plugin.
``fft`` has transforms of pairs for networks written by hand.

``RoIAlign.ahead_of_time = True`` has engines of TensorRT 10.9 and later hold the kernel of one, as
``trtdsl.Plugin`` says, and then nothing of trtdsl is needed to run them; transforms of more than
one pass, running extremes and scattering cannot.

``creator`` makes a layer of any plugin of TensorRT's own library, or of one that ``load_library``
has loaded. ``pycuda_stream`` lets a plugin's ``run`` launch kernels of pycuda's.

``torchvision::nms`` is TensorRT's own NMS layer, but for more than 5000 boxes, of which it would
not consider all: these take ``suppression`` without being asked. TensorRT's library has
EfficientNMS_TRT for whole batches of classes. ``unique`` has no plugin: it has as many elements as
its values say, which a plugin of TensorRT 8 cannot; its converter, ``trtdsl.layers.unique``, counts
them with layers.
"""

from trtdsl.extension.library import creator, load_library
from trtdsl.extension.pycuda_stream import pycuda_stream

from .preference import prefer

__all__ = ["creator", "load_library", "prefer", "pycuda_stream"]
