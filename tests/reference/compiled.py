"""Compiling for tests, which run a program once or twice: compile time is what counts."""

import functools

import jax

quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
"""`jax.jit` without the optimisations that take most of the time of compiling; values differ by rounding at most."""
