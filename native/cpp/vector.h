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

namespace {

// Calls body with the type of the widest vectors of which a whole number makes up so many channels.
template <typename Body>
void with_lanes(Index channels, const Body& body) {
  if constexpr (kWidth >= 16) {
    if (channels % 16 == 0) return body(VectorOf<16>());
  }
  if constexpr (kWidth >= 8) {
    if (channels % 8 == 0) return body(VectorOf<8>());
  }
  if (channels % 4 == 0) return body(VectorOf<4>());
  if (channels % 2 == 0) return body(VectorOf<2>());
  body(VectorOf<1>());
}

template <int N>
constexpr int lanes_of(VectorOf<N>) {
  return N;
}

}  // namespace

// Asks for memory that is going to be written, so that it is there by then.
inline void expect(const float* p, Index count) {
  for (Index i = 0; i < count; i += 64 / sizeof(float)) __builtin_prefetch(p + i, 1);
}

}  // namespace tinyunet::TINYUNET_NAME
