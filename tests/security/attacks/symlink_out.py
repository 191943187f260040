"""Makes a link to the host's files, and follows it."""
# stopped by: symlink


def attack(target):
    import os

    link = target.scratch + '/link'
    os.symlink('/etc/shadow', link)
    with open(link) as file:
        return file.readline()
