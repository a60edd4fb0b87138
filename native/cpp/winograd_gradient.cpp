// The gradient of a kernel by Winograd's minimal filtering: the convolution's algorithm, transposed. With its matrices,
// a tile of results is y = A' [(G g G') (B' d B)] A, and a tile of cotangents gives the kernel
// G' [(A dy A') (B' d B)] G: inputs are transformed as by the convolution, cotangents from 2x2 to 4x4, and at each of 16
// points a matrix product over the tiles, channels by features, takes the place of the window. What the tiles add up to
// is transformed back once, at the end.
#include "winograd.h"

namespace tinyunet::TINYUNET_NAME {
namespace {

constexpr Index kFloats = 24 << 10;  // transformed at a time, about
constexpr Index kLeastTiles = 8;     // that are worth adding up

// Channels [low, high), counted through both sources.
struct Part {
  Index low, high;
  Index count() const { return high - low; }
};

Part channels_of_group(const Convolution& c, const Cut& cut, Index group) {
  const Index blocks = ceil_div(c.channels(), kChannels);
  const auto begin = [&](Index g) { return least(g * blocks / cut.groups * kChannels, c.channels()); };
  return {begin(group), begin(group + 1)};
}

// Tiles that are transformed together, of so many channels: some rows of them, or a part of one row.
Index tiles_at_once(const Convolution& c, Index channels) {
  const Index fit = most(kFloats / (kSide * (channels + padded(c.features))), kLeastTiles), row = c.out.x / 2;
  return fit < row ? ceil_div(row, ceil_div(row, fit)) : least(fit / row, c.out.y / 2) * row;
}

// Row r of the points of A dy A', of tiles of 2x2 cotangents of so many features. A's last row is 0, -1; its sign is
// left to the transformation back.
template <int N>
void transform_cotangents(const float* upper, Index row, int r, Index features, Index tiles, float* to, Index point,
                          Index tile) {
  using V = Vector<N>;
  const float of_upper = r < 3 ? 1.0f : 0.0f, of_lower = r == 0 ? 0.0f : r == 2 ? -1.0f : 1.0f;
  for (Index t = 0; t < tiles; ++t) {
    for (Index i = 0; i < features; i += N) {
      const float* from = upper + 2 * t * features + i;
      const V left = of_upper * load<N>(from) + of_lower * load<N>(from + row);
      const V right = of_upper * load<N>(from + features) + of_lower * load<N>(from + row + features);
      float* out = to + t * tile + i;
      store(out, left);
      store(out + point, left + right);
      store(out + 2 * point, left - right);
      store(out + 3 * point, right);
    }
  }
}

template <int N>
void transform_input_row(int r, const Window& window, Index low, Index high, Index tiles, float* to, Index point,
                         Index tile) {
  if (r == 0) transform_input<N, 0, 1>(window, low, high, tiles, to, point, tile);
  if (r == 1) transform_input<N, 1, 2>(window, low, high, tiles, to, point, tile);
  if (r == 2) transform_input<N, 2, 3>(window, low, high, tiles, to, point, tile);
  if (r == 3) transform_input<N, 3, 4>(window, low, high, tiles, to, point, tile);
}

// Tiles that are transformed together: those from t on in some rows of tiles of one plane.
struct Tiles {
  Index row, rows, t, in_row;
  Index count() const { return rows * in_row; }
};

// Row r of the points of the tiles' cotangents.
void transform_cotangents(const Convolution& c, const float* cotangent, const Tiles& tiles, int r, float* to,
                          Index point) {
  const Index wide = padded(c.features);
  with_lanes(c.features, [&](auto lanes) {
    for (Index i = 0; i < tiles.rows; ++i) {
      const float* from = cotangent + (2 * (tiles.row + i) * c.out.x + 2 * tiles.t) * c.features;
      transform_cotangents<lanes_of(decltype(lanes)())>(from, c.out.x * c.features, r, c.features, tiles.in_row,
                                                        to + i * tiles.in_row * wide, point, wide);
    }
  });
}

// Row r of the points of the tiles' inputs under a tap in depth: false where the tap is outside the map.
bool transform_inputs(const Convolution& c, const Part& channels, const Tiles& tiles, Index tz, int r,
                      const float* zeros, float* to, Index point) {
  const Index plane = tiles.row / (c.out.y / 2), y = 2 * (tiles.row % (c.out.y / 2));
  const Index iz = plane % c.out.z + tz - c.before.z;
  if (iz < 0 || iz >= c.in.z) return false;
  Index begin = 0;
  for (const Source& source : c.sources) {
    const Index low = most(channels.low - begin, 0), high = least(channels.high - begin, source.channels);
    begin += source.channels;
    if (low >= high) continue;
    with_lanes(high - low, [&](auto lanes) {
      for (Index i = 0; i < tiles.rows; ++i) {
        const Window window = window_of(c, source, plane / c.out.z * c.in.z + iz, y + 2 * i,
                                        2 * tiles.t - c.before.x, zeros);
        transform_input_row<lanes_of(decltype(lanes)())>(
            r, window, low, high, tiles.in_row, to + i * tiles.in_row * channels.count(), point, channels.count());
      }
    });
    to += high - low;
  }
  return true;
}

}  // namespace

bool winograd_for_gradient(const Convolution& c) { return winograd(c) && c.features % 4 == 0; }

// Layout of a part: taps in depth, points, channels, features; then the gradient of the bias.
Index winograd_part_size(const Convolution& c) {
  return (c.window.z * kPoints * c.channels() + 1) * padded(c.features);
}

Index winograd_gradient_scratch(const Convolution& c) {
  // Of a group with all channels, or with few and so the most tiles.
  const Index floats = most(kFloats, kSide * kLeastTiles * (c.channels() + padded(c.features)));
  return floats + 2 * kSide * kApart + zeros_under(c, tiles_at_once(c, 0));
}

void winograd_gradient(const Convolution& c, const float* cotangent, const Cut& cut, Index part, Index group,
                       float* sums, float* scratch) {
  const Part channels = channels_of_group(c, cut, group);
  const Index wide = padded(c.features), point_size = c.channels() * wide, count = channels.count();
  const Index at_once = tiles_at_once(c, count), tiles_in_row = c.out.x / 2, rows_of_plane = c.out.y / 2;
  const Index x_point = at_once * count + kApart, g_point = at_once * wide + kApart;
  float *inputs = scratch, *cotangents = inputs + kSide * x_point, *zeros = cotangents + kSide * g_point;
  float* bias = group == 0 ? sums + c.window.z * kPoints * point_size : nullptr;
  if (bias) clear(bias, wide);
  clear(zeros, zeros_under(c, at_once));
  for (Index i = 0; i < c.window.z * kPoints; ++i) clear(sums + i * point_size + channels.low * wide, count * wide);
  const Index last = (part + 1) * (c.rows() / 2) / cut.parts, segment = least(at_once, tiles_in_row);
  for (Index row = part * (c.rows() / 2) / cut.parts; row < last;) {
    const Index plane_ends = (row / rows_of_plane + 1) * rows_of_plane;
    const Index rows = within(at_once / tiles_in_row, 1, least(last, plane_ends) - row);
    for (Index t = 0; t < tiles_in_row; t += segment) {
      const Tiles tiles{row, rows, t, least(segment, tiles_in_row - t)};
      for (int r = 0; r < kSide; ++r) {
        transform_cotangents(c, cotangent, tiles, r, cotangents, g_point);
        for (Index v = 0; bias && r == 1 && v < wide; v += kWidth) {  // where a point is the sum of a whole tile
          Vec sum{};
          for (Index i = 0; i < tiles.count(); ++i) sum += load(cotangents + g_point + i * wide + v);
          store(bias + v, load(bias + v) + sum);
        }
        for (Index tz = 0; tz < c.window.z; ++tz) {
          if (!transform_inputs(c, channels, tiles, tz, r, zeros, inputs, x_point)) continue;
          for (Index q = 0; q < kSide; ++q) {
            float* sum = sums + (tz * kPoints + kSide * r + q) * point_size + channels.low * wide;
            outer_products(inputs + q * x_point, count, cotangents + q * g_point, wide, tiles.count(), sum);
          }
        }
      }
    }
    row += rows;
  }
}

void winograd_add_parts(const Convolution& c, const Kernel& layout, const float* parts, Index count, Index first,
                        Index last, float* kernel, float* bias) {
  const Index wide = padded(c.features), size = winograd_part_size(c), point_size = c.channels() * wide;
  const Index all = c.window.product() * c.channels();
  const Index low = first * c.channels() / all, high = last * c.channels() / all;
  const auto total = [&](const float* from) {
    Vec sum = load(from);
    for (Index part = 1; part < count; ++part) sum += load(from + part * size);
    return sum;
  };
  for (Index tz = 0; tz < c.window.z; ++tz) {
    for (Index channel = low; channel < high; ++channel) {
      for (Index v = 0; v < wide; v += kWidth) {
        Vec e[3][4];
        for (int q = 0; q < 4; ++q) {
          const float* from = parts + (tz * kPoints + q) * point_size + channel * wide + v;
          const Vec s0 = total(from), s3 = total(from + 12 * point_size);
          const Vec s1 = total(from + 4 * point_size), s2 = total(from + 8 * point_size);
          e[0][q] = s0 + 0.5f * (s1 + s2);
          e[1][q] = 0.5f * (s1 - s2);
          e[2][q] = 0.5f * (s1 + s2) - s3;
        }
        for (int y = 0; y < 3; ++y) {
          const Vec s1 = 0.5f * (e[y][1] + e[y][2]), s2 = 0.5f * (e[y][1] - e[y][2]);
          const Vec taps[3] = {e[y][0] + s1, s2, s1 - e[y][3]};
          for (int x = 0; x < 3; ++x) {
            float lanes[kWidth];
            store(lanes, taps[x]);
            copy(kernel + layout.at(tz * 3 + y, x, channel, v), lanes, least(kWidth, c.features - v));
          }
        }
      }
    }
  }
  for (Index v = 0; last == all && v < wide; v += kWidth) {
    float lanes[kWidth];
    store(lanes, total(parts + size - wide + v));
    copy(bias + v, lanes, least(kWidth, c.features - v));
  }
}

}  // namespace tinyunet::TINYUNET_NAME
