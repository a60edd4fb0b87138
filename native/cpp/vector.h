// The compiler's vector types, and what is missing around them. Every build of the kernels has its own namespace, so
// that the linker never takes one build's function for another's.
#pragma once

#include <cstring>

#include "shapes.h"

#if !defined(TINYUNET_NAME) || !defined(TINYUNET_WIDTH) || !defined(TINYUNET_REGISTERS)
#error "TINYUNET_NAME, TINYUNET_WIDTH and TINYUNET_REGISTERS say what this is compiled for."
#endif

namespace tinyunet::TINYUNET_NAME {

constexpr Index kWidth = TINYUNET_WIDTH;  // floats in a vector
constexpr bool kManyRegisters = TINYUNET_REGISTERS == 32;

template <int N>
struct VectorOf {
  typedef float type __attribute__((vector_size(N * sizeof(float))));
};
template <int N>
using Vector = typename VectorOf<N>::type;
using Vec = Vector<kWidth>;

template <int N = kWidth>
inline Vector<N> load(const float* p) {
  Vector<N> v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

template <typename V>
inline void store(float* p, V v) {
  std::memcpy(p, &v, sizeof v);
}

inline Vec splat(float a) { return a - Vec{}; }

// Both keep what is not a number.
template <typename V>
inline V larger(V a, V b) {
  return b < a ? a : (a == a ? b : a);
}

template <typename V>
inline V rectified(V a) {
  return a < 0.0f ? V{} : a;
}

// The standard library's would be shared between builds.
inline Index least(Index a, Index b) { return a < b ? a : b; }
inline Index most(Index a, Index b) { return a > b ? a : b; }
inline Index within(Index a, Index low, Index high) { return least(most(a, low), high); }
inline void clear(float* p, Index count) { std::memset(p, 0, sizeof(float) * count); }
inline void copy(float* to, const float* from, Index count) { std::memcpy(to, from, sizeof(float) * count); }

}  // namespace tinyunet::TINYUNET_NAME
