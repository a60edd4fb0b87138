// Which build of the kernels this processor runs: the widest it has, or a narrower one that the environment names.
#include <cstdlib>
#include <string>

#include "kernels.h"

namespace tinyunet {
namespace {

const Kernels& choose() {
  const char* wanted = std::getenv("TINYUNET_NATIVE_ISA");
  const std::string name = wanted ? wanted : "";
#ifdef TINYUNET_X86
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
  if (avx512 && (name.empty() || name == "avx512")) return kernels_avx512();
  if (avx2 && name != "baseline") return kernels_avx2();
#endif
  return kernels_baseline();
}

}  // namespace

const Kernels& kernels() {
  static const Kernels& chosen = choose();
  return chosen;
}

}  // namespace tinyunet
