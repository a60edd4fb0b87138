// What the files of one build offer each other; documented in kernels.h.
#pragma once

#include "kernels.h"
#include "vector.h"

namespace tinyunet::TINYUNET_NAME {

constexpr int kChannels = kManyRegisters ? 8 : 4;

Index padded(Index features);

Index packed_size(const Convolution&);
void pack(const Convolution&, const Kernel&, Index first, Index last, float* packed);
Index convolve_scratch(const Convolution&);
void convolve(const Convolution&, const float* packed, const Finish&, Index first, Index last, const Maps& out,
              float* moments, float* scratch);

Index part_size(const Convolution&);
Index gradient_scratch(const Convolution&);
void gradient(const Convolution&, const float* cotangent, const Cut&, Index part, Index group, float* sums,
              float* scratch);
void add_parts(const Convolution&, const Kernel& layout, const float* parts, Index count, Index first, Index last,
               float* kernel, float* bias);

void normalise(const Normalisation&, Index first, Index last, float* out, float* pooled);
void gradient_sums(const NormalisationGradient&, Index first, Index last, float* sums);
void normalise_gradient(const NormalisationGradient&, Index first, Index last, float* out);

}  // namespace tinyunet::TINYUNET_NAME
