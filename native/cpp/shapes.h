// What the kernels are asked to do, in plain numbers: shared by the bindings and by every build of the kernels.
#pragma once

#include <cstdint>

namespace tinyunet {

using Index = std::int64_t;

inline Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

// Sizes along depth, height and width; an image has a depth of one.
struct Extent {
  Index z, y, x;
  Index product() const { return z * y * x; }
};

// Feature maps, channels last: (batch, z, y, x, channels). A source without channels takes no part.
struct Source {
  const float* data;
  Index channels;
};

// out[b, p, d] = bias[d] + sum over taps q, sources s and their channels c of s[b, stride p + q - before, c]
// kernel[q, c, d], and zero outside the map. The channels of the second source follow those of the first, as if they
// were concatenated. With `spread` it is the other way round: out[b, stride p + q] takes kernel[q] times s[b, p].
// Along a row the stride is one.
struct Convolution {
  Source sources[2];
  Index batch;
  Extent in, out, window, before, stride;
  bool spread;
  Index features;
  bool grouped;  // neighbouring pixels may share a vector

  Index channels() const { return sources[0].channels + sources[1].channels; }
  Index rows() const { return batch * out.z * out.y; }
};

// A kernel as it is stored: (rows of taps, taps in a row, channels, features), and how a convolution reads it.
//
// Turned over, it is that of the gradient of the input: taps in reverse, its features as channels and its channels as
// features. Of blocks, it is that of a transposed convolution, stored with its taps in reverse: the taps of a row count
// as features of one pixel, side by side.
struct Kernel {
  const float* data;
  Index rows, taps, channels, features;
  bool turned, blocks;

  // Where the weight of a row of taps, a tap in it, a channel and a feature of the convolution is.
  Index at(Index row, Index tap, Index channel, Index feature) const {
    Index i = channel, f = feature;
    if (turned) i = feature, f = channel;
    if (blocks) {
      row = rows - 1 - row;
      tap = taps - 1 - f / features;
      f %= features;
    } else if (turned) {
      row = rows - 1 - row;
      tap = taps - 1 - tap;
    }
    return ((row * taps + tap) * channels + i) * features + f;
  }
};

// Where the features of a convolution go: the first `split` to one map, the rest to another.
struct Maps {
  float *first, *second;
  Index split;
};

// What happens to a sum before it is stored.
struct Finish {
  const float* bias;  // or null
  bool relu;
};

// How the gradient of a kernel is cut: into parts of rows, whose sums are added up at the end, and groups of channels.
// It follows from the shapes alone, so that the result is the same for any number of threads.
struct Cut {
  Index parts, groups;
};

// z = max(0, (y - mean) scale + shift) of maps (batch, size, features), and z's maximum over windows of one or two
// pixels along each axis. A block of rows is what one row of windows looks at.
struct Normalisation {
  const float* y;
  Index batch;
  Extent size, window;
  Index features;
  const float *mean, *scale, *shift;
  bool pooled;

  Extent pooled_size() const { return {size.z / window.z, size.y / window.y, size.x / window.x}; }
  Index blocks_of_volume() const { return ceil_div(size.z, window.z) * ceil_div(size.y, window.y); }
  Index blocks() const { return batch * blocks_of_volume(); }
};

// The gradient of that: g = cotangent + the pooled cotangent's share, where z > 0;
// dy = scale (g - first - (y - mean) second).
struct NormalisationGradient {
  Normalisation forward;
  const float *cotangent, *pooled_cotangent;
  const float *first, *second;  // when dy is computed
};

}  // namespace tinyunet
