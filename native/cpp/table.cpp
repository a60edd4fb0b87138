// The table of one build.
#include "build.h"

#define TINYUNET_JOIN_(a, b) a##b
#define TINYUNET_JOIN(a, b) TINYUNET_JOIN_(a, b)
#define TINYUNET_TEXT_(name) #name
#define TINYUNET_TEXT(name) TINYUNET_TEXT_(name)

namespace tinyunet {

const Kernels& TINYUNET_JOIN(kernels_, TINYUNET_NAME)() {
  namespace build = TINYUNET_NAME;
  static const Kernels table = {
      TINYUNET_TEXT(TINYUNET_NAME), build::kChannels,        build::padded,    build::packed_size,
      build::pack,                  build::convolve_scratch, build::convolve,  build::part_size,
      build::gradient_scratch,      build::gradient,         build::add_parts, build::normalise,
      build::gradient_sums,         build::normalise_gradient,
  };
  return table;
}

}  // namespace tinyunet
