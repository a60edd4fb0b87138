// The kernels as one build of them offers them: a table of functions for one instruction set.
#pragma once

#include "shapes.h"

namespace tinyunet {

struct Kernels {
  const char* name;  // of the instruction set
  Index block;       // channels that the gradient of a kernel handles at once

  // Features up to a whole number of vectors.
  Index (*padded)(Index features);

  // Floats that a packed kernel takes.
  Index (*packed_size)(const Convolution&);
  // Packs the rows of taps [first, last) of window.z * window.y.
  void (*pack)(const Convolution&, const Kernel&, Index first, Index last, float* packed);
  // Floats that `convolve` needs for itself.
  Index (*convolve_scratch)(const Convolution&);
  // Computes the rows [first, last) of batch * out.z * out.y. With `moments`, the sums of the result and of its square
  // are written there: twice the padded features.
  void (*convolve)(const Convolution&, const float* packed, const Finish&, Index first, Index last, const Maps& out,
                   float* moments, float* scratch);

  // Floats of one part of the gradient: (taps, channels, padded features), then the padded gradient of the bias.
  Index (*part_size)(const Convolution&);
  Index (*gradient_scratch)(const Convolution&);
  // One part of rows and one group of channels, of `Cut`, into the part's own memory.
  void (*gradient)(const Convolution&, const float* cotangent, const Cut&, Index part, Index group, float* sums,
                   float* scratch);
  // Adds up the parts, for the rows [first, last) of taps * channels; the gradient of the bias with the last.
  void (*add_parts)(const Convolution&, const Kernel& layout, const float* parts, Index count, Index first, Index last,
                    float* kernel, float* bias);

  // Normalises the blocks [first, last) into `out`, and takes the maximum of windows into `pooled`.
  void (*normalise)(const Normalisation&, Index first, Index last, float* out, float* pooled);
  // Over the blocks [first, last), the sums of g and of g (y - mean): twice `features` floats.
  void (*gradient_sums)(const NormalisationGradient&, Index first, Index last, float* sums);
  void (*normalise_gradient)(const NormalisationGradient&, Index first, Index last, float* out);
};

const Kernels& kernels_baseline();
#ifdef TINYUNET_X86
const Kernels& kernels_avx2();
const Kernels& kernels_avx512();
#endif

// The widest that this processor has.
const Kernels& kernels();

}  // namespace tinyunet
