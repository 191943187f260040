"""Types into the terminal of its operator."""
# stopped by: ioctl


def attack(target):
    import fcntl, os, struct, termios
    def type_into(terminal):
        try:
            fcntl.ioctl(terminal, termios.TIOCSTI, b'x')
            return True
        except OSError:
            return False
    if type_into(0):
        return True
    ours, theirs = os.openpty()
    if os.fork() == 0:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
        os._exit(0 if type_into(theirs) else 1)
    return os.wait()[1] == 0
