"""Executes a program that was never a file."""
# stopped by: memfd_create


def attack(target):
    import os

    program = os.memfd_create('program', 0)
    with open('/bin/true', 'rb') as file:
        os.write(program, file.read())
    if os.fork() == 0:
        os.execve(program, ['true'], {})
    return os.wait()[1] == 0
