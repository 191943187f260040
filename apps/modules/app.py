"""The kernel's modules, as lsmod lists them.

    furnace app -c apps/modules/app --u2 modules --vmi DIR
"""

import furnace_linux

import fe


class App:
    def __init__(self, ctx):
        print(f'{"MODULE":<24} {"SIZE":>9}  BASE')
        for module in furnace_linux.modules():
            print(f'{module.name:<24} {module.size:>9}  {module.base:#x}')
        fe.exit()
