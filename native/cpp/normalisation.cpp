// Normalisation, ReLU and max-pooling together, and their gradient: every map is read and written once in a pass.
#include "build.h"

namespace tinyunet::TINYUNET_NAME {
namespace {

// Of a row, some pixels at a time: so many floats, of which the first vectors of all pixels are read, then the second,
// and so on. The memory is read about as it lies, and the vector's mean, scale and shift stay in registers.
constexpr Index kSpanFloats = 512;

Index span_of(Index features) { return most(kSpanFloats / features, 1); }

// The rows that one row of windows looks at, and the row of windows.
struct Block {
  Index rows[4];  // first pixels of the rows, from the outermost axis inwards
  int count;
  Index pooled;  // first window, or -1 where the block is cut off
};

Block block_of(const Normalisation& n, Index index) {
  const Index across = ceil_div(n.size.y, n.window.y), in_volume = n.blocks_of_volume();
  const Index b = index / in_volume, bz = index % in_volume / across, by = index % across;
  const Extent half = n.pooled_size();
  Block block{};
  for (Index z = bz * n.window.z; z < least((bz + 1) * n.window.z, n.size.z); ++z) {
    for (Index y = by * n.window.y; y < least((by + 1) * n.window.y, n.size.y); ++y) {
      block.rows[block.count++] = ((b * n.size.z + z) * n.size.y + y) * n.size.x;
    }
  }
  const bool whole = n.pooled && bz < half.z && by < half.y;
  block.pooled = whole ? ((b * half.z + bz) * half.y + by) * half.x : -1;
  return block;
}

// z of one vector of one pixel.
template <typename V>
inline V activate(V centred, V scale, V shift) {
  return rectified(centred * scale + shift);
}

template <int N>
void normalise_block(const Normalisation& n, const Block& block, float* out, float* pooled) {
  const Index span = span_of(n.features);
  for (int r = 0; r < block.count; ++r) {
    for (Index begin = 0; begin < n.size.x; begin += span) {
      const Index end = least(begin + span, n.size.x);
      for (Index v = 0; v < n.features; v += N) {
        const auto mean = load<N>(n.mean + v), scale = load<N>(n.scale + v), shift = load<N>(n.shift + v);
        for (Index p = begin; p < end; ++p) {
          const Index i = (block.rows[r] + p) * n.features + v;
          store(out + i, activate(load<N>(n.y + i) - mean, scale, shift));
        }
      }
    }
  }
  if (block.pooled < 0) return;
  // The rows just written are still in the cache.
  for (Index p = 0; p < n.pooled_size().x; ++p) {
    for (Index v = 0; v < n.features; v += N) {
      Vector<N> best{};  // nothing is below zero
      for (int r = 0; r < block.count; ++r) {
        for (Index x = 0; x < n.window.x; ++x) {
          best = larger(best, load<N>(out + (block.rows[r] + p * n.window.x + x) * n.features + v));
        }
      }
      store(pooled + (block.pooled + p) * n.features + v, best);
    }
  }
}

// The share of a pair's cotangent that its first member has: all of it where it is larger, half of it where both are
// equal, which is the gradient of XLA's maximum.
template <typename V>
inline V share(V a, V b) {
  return a > b ? V{} + 1.0f : (a == b ? V{} + 0.5f : V{});
}

// Windows [begin, end) of the block, of K pixels, X of them side by side. With `Write`, dy is written; without, the
// sums of g and g (y - mean) are added up.
template <int N, int K, int X, bool Write>
void gradient_span(const NormalisationGradient& g, const Block& block, Index begin, Index end, Index skip, bool pooled,
                   float* to) {
  const Normalisation& n = g.forward;
  for (Index v = 0; v < n.features; v += N) {
    using V = Vector<N>;
    const V mean = load<N>(n.mean + v), scale = load<N>(n.scale + v), shift = load<N>(n.shift + v);
    V first{}, second{};
    if constexpr (Write) {
      first = load<N>(g.first + v);
      second = load<N>(g.second + v);
    }
    V sum{}, product{};
    Index at[K];
#pragma GCC unroll 8
    for (int k = 0; k < K; ++k) at[k] = (block.rows[k / X] + skip + begin * X + k % X) * n.features + v;
    for (Index window = begin; window < end; ++window) {
      V centred[K], z[K], cotangent[K];
#pragma GCC unroll 8
      for (int k = 0; k < K; ++k) {
        centred[k] = load<N>(n.y + at[k]) - mean;
        z[k] = activate(centred[k], scale, shift);
        cotangent[k] = load<N>(g.cotangent + at[k]);
      }
      if (pooled) {
        // Maxima of pairs, then of pairs of pairs; the cotangent goes the other way.
        V maxima[2 * K], part[2 * K];  // a heap: node i has children 2i and 2i + 1, the leaves are K ... 2K - 1
#pragma GCC unroll 8
        for (int k = 0; k < K; ++k) maxima[K + k] = z[k];
#pragma GCC unroll 8
        for (int i = K - 1; i > 0; --i) maxima[i] = larger(maxima[2 * i], maxima[2 * i + 1]);
        part[1] = load<N>(g.pooled_cotangent + (block.pooled + window) * n.features + v);
#pragma GCC unroll 8
        for (int i = 1; i < K; ++i) {
          const V left = share(maxima[2 * i], maxima[2 * i + 1]);
          part[2 * i] = part[i] * left;
          part[2 * i + 1] = part[i] * (1.0f - left);
        }
#pragma GCC unroll 8
        for (int k = 0; k < K; ++k) cotangent[k] += part[K + k];
      }
#pragma GCC unroll 8
      for (int k = 0; k < K; ++k) {
        const V kept = z[k] > 0.0f ? cotangent[k] : V{};
        if constexpr (Write) {
          store(to + at[k], scale * (kept - first - centred[k] * second));
        } else {
          sum += kept;
          product += kept * centred[k];
        }
        at[k] += X * n.features;
      }
    }
    if constexpr (!Write) {
      store(to + v, load<N>(to + v) + sum);
      store(to + n.features + v, load<N>(to + n.features + v) + product);
    }
  }
}

template <int N, int K, int X, bool Write>
void gradient_windows(const NormalisationGradient& g, const Block& block, Index windows, Index skip, bool pooled,
                      float* to) {
  const Index span = span_of(X * g.forward.features);
  for (Index begin = 0; begin < windows; begin += span) {
    gradient_span<N, K, X, Write>(g, block, begin, least(begin + span, windows), skip, pooled, to);
  }
}

template <int N, bool Write>
void gradient_block(const NormalisationGradient& g, const Block& block, float* to) {
  const Normalisation& n = g.forward;
  Index done = 0;
  if (block.pooled >= 0) {
    const Index windows = n.pooled_size().x;
    const int x = static_cast<int>(n.window.x), pixels = block.count * x;
    if (x == 2 && pixels == 8) gradient_windows<N, 8, 2, Write>(g, block, windows, 0, true, to);
    if (x == 2 && pixels == 4) gradient_windows<N, 4, 2, Write>(g, block, windows, 0, true, to);
    if (x == 2 && pixels == 2) gradient_windows<N, 2, 2, Write>(g, block, windows, 0, true, to);
    if (x == 1 && pixels == 4) gradient_windows<N, 4, 1, Write>(g, block, windows, 0, true, to);
    if (x == 1 && pixels == 2) gradient_windows<N, 2, 1, Write>(g, block, windows, 0, true, to);
    if (x == 1 && pixels == 1) gradient_windows<N, 1, 1, Write>(g, block, windows, 0, true, to);
    done = windows * n.window.x;
  }
  // What no window looks at.
  for (int r = 0; r < block.count && done < n.size.x; ++r) {
    Block row{};
    row.rows[0] = block.rows[r];
    row.count = 1;
    gradient_windows<N, 1, 1, Write>(g, row, n.size.x - done, done, false, to);
  }
}

}  // namespace

void normalise(const Normalisation& n, Index first, Index last, float* out, float* pooled) {
  with_lanes(n.features, [&](auto vector) {
    for (Index i = first; i < last; ++i) normalise_block<lanes_of(decltype(vector)())>(n, block_of(n, i), out, pooled);
  });
}

void gradient_sums(const NormalisationGradient& g, Index first, Index last, float* sums) {
  clear(sums, 2 * g.forward.features);
  with_lanes(g.forward.features, [&](auto vector) {
    for (Index i = first; i < last; ++i) {
      gradient_block<lanes_of(decltype(vector)()), false>(g, block_of(g.forward, i), sums);
    }
  });
}

void normalise_gradient(const NormalisationGradient& g, Index first, Index last, float* out) {
  with_lanes(g.forward.features, [&](auto vector) {
    for (Index i = first; i < last; ++i) {
      gradient_block<lanes_of(decltype(vector)()), true>(g, block_of(g.forward, i), out);
    }
  });
}

}  // namespace tinyunet::TINYUNET_NAME
