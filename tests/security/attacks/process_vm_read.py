"""Reads the memory of another process."""
# stopped by: process_vm_readv


def attack(target):
    import ctypes

    class Piece(ctypes.Structure):
        _fields_ = [('base', ctypes.c_uint64), ('size', ctypes.c_uint64)]

    buffer = ctypes.create_string_buffer(16)
    ours = Piece(ctypes.addressof(buffer), 16)
    theirs = Piece(target.victims_memory, 16)
    return (
        ctypes.CDLL(None).process_vm_readv(target.victim, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0)
        == 16
    )
