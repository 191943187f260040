"""Compiles C++ apps."""

import subprocess

from furnace_testing.places import ROOT

COMPILE = ['g++', '-std=c++20', '-O2', '-Wall', '-Wextra', '-Werror', '-shared', '-fPIC']


def compiled(work, name, code):
    """The path for -c of an app or a backend whose source is `code`."""
    source = work / f'{name}.cc'
    source.write_text(code)
    subprocess.run([*COMPILE, f'-I{ROOT}/include', source, '-o', work / f'{name}.so'], check=True)
    return work / name


def compile_static(source, target):
    """A program without a C library, for a guest; returns `target`."""
    flags = [
        '-O1',
        '-s',
        '-static',
        '-nostdlib',
        '-fno-stack-protector',
        '-fno-tree-loop-distribute-patterns',
    ]
    subprocess.run(['gcc', *flags, '-o', target, source], check=True)
    return target
