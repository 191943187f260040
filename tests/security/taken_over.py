"""Runs in the place of furnace-vmi, with all that its partition holds: sends what it is given to every
connection.

Standard input: JSON {"texts": [...], "requests": [hexadecimal, ...], "hold": bool}. Prints one JSON object:
what the connections answered to the texts, and the answers to the requests, "" where there was none.
"""

import json
import os
import socket
import stat
import sys
import time


def connections():
    """The message sockets that were open when this program began."""
    found = []
    for number in range(3, 256):
        try:
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
        except OSError:
            continue
        each = socket.socket(fileno=number)
        each.settimeout(0.5)
        found.append(each)
    return found


def exchange(connection, data):
    try:
        connection.send(data)
        return connection.recv(1 << 17)
    except OSError:
        return b''


def main():
    task = json.loads(sys.stdin.readline())
    all_of_them = connections()
    answers, said = [], []
    for request in task.get('requests', []):
        answers.append(exchange(all_of_them[0], bytes.fromhex(request)).hex())
    for text in task.get('texts', []):
        for each in all_of_them:
            said.append(exchange(each, text.encode()).decode('latin-1'))
    print(json.dumps({'connections': len(all_of_them), 'answers': answers, 'said': said}), flush=True)
    if task.get('hold'):
        time.sleep(60)


main()
