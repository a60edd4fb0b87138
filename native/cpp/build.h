// What the files of one build offer each other; documented in kernels.h.
#pragma once

#include "kernels.h"
#include "vector.h"

namespace tinyunet::TINYUNET_NAME {

constexpr int kChannels = kManyRegisters ? 8 : 4;
constexpr int kMaxVectors = 2;  // of a register tile

// What a tile of pixels, or of groups of pixels, looks at in one row of one source: channels of neighbouring pixels.
struct Run {
  const float* x;  // first float
  Index stride;    // from a group of pixels to the next
  Index length;    // floats to go through
  Index weights;   // rows of the packed kernel before this run's
  Index tap;       // rows of the packed kernel from one shared tap to the next
};

// Where a tile's result goes. One map where all its vectors are whole; otherwise the tile is written to `buffer`, from
// where `scatter` brings it to its places.
struct Target {
  float* out;
  Index stride;  // from a group of pixels to the next
  bool whole;
  float* buffer;
  const float* bias;
  float* moments;  // or null
  Index squares;   // from the moments to those of the square
  float least;     // what is below becomes this: 0 is a ReLU
};

// Vectors of the tile that begins with vector v, and the pixels that a tile of so many vectors has at most.
int tile_vectors(Index all, Index v);
int pixels_of_tile(int vectors);

// One register tile, with so many taps that share their pixels.
void dot_runs(int pixels, int vectors, int shared, const Run* runs, int count, const float* packed, const Target& to);

// Brings `lanes` features from `start` on of every pixel of a tile to the two maps.
void scatter(const float* tile, Index wide, Index pixels, Index start, Index lanes, const Maps& maps, Index others);

// Winograd's way: whether it is taken, and what the functions of these names without the prefix do.
bool winograd(const Convolution&);
Index winograd_packed_size(const Convolution&);
void winograd_pack(const Convolution&, const Kernel&, Index first, Index last, float* packed);
Index winograd_scratch(const Convolution&);
void winograd_convolve(const Convolution&, const float* packed, const Finish&, Index first, Index last, const Maps& out,
                       float* moments, float* scratch);

bool winograd_for_gradient(const Convolution&);
Index winograd_part_size(const Convolution&);
Index winograd_gradient_scratch(const Convolution&);
void winograd_gradient(const Convolution&, const float* cotangent, const Cut&, Index part, Index group, float* sums,
                       float* scratch);
void winograd_add_parts(const Convolution&, const Kernel& layout, const float* parts, Index count, Index first,
                        Index last, float* kernel, float* bias);

// sums[c][d] += over `count` pixels, x[pixel][c] g[pixel][d]; the features are whole vectors.
void outer_products(const float* x, Index channels, const float* g, Index wide, Index count, float* sums);

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
