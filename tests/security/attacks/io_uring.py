"""Makes system calls through a ring, which no filter sees."""
# stopped by: io_uring_setup
# needs: io_uring


def attack(target):
    import ctypes

    return ctypes.CDLL(None).syscall(425, 4, ctypes.create_string_buffer(120)) >= 0
