"""upload_log: a snapshot of the log, brought to an SFTP server by OpenSSH's sftp program.

The server's key is always pinned: it is checked before a credential is sent.
What the order says becomes options and one quoted line, never a shell's text.
"""

import asyncio
import hashlib
import os
import re
import shutil
import tempfile

from .orders import OrderFailed
from .state import in_thread

_LIFETIME = 600.0  # seconds; after that the order's credential is void
_TRIES, _PAUSE = 3, 1.0  # the pause is doubled after each try
_ADDRESS = re.compile(r"\[?([A-Za-z0-9][A-Za-z0-9.:_-]*|::1)\]?:([0-9]{1,5})")
_HOST_KEY = re.compile(r"((?:ssh|ecdsa|sk)-[A-Za-z0-9@.-]+) ([A-Za-z0-9+/=]+)( .*)?")
_ASKPASS = "#!/bin/sh\nprintf '%s\\n' \"$TETHER_SFTP_PASSWORD\"\n"


async def upload_log(order, device):
    """Carry an upload_log order out; the data of its result."""
    target, own = order.get("sftp"), False
    if target is None:
        target, own = device.sftp, True
    if target is None:
        raise OrderFailed("no SFTP target is configured and the order carries none")
    if not device.log_file:
        raise OrderFailed("no log file is configured")
    program = shutil.which("sftp")
    if program is None:
        raise OrderFailed("this device has no sftp program")
    remote = f"{order.get('remote_dir') or device.remote_dir}/{device.device_id}.log"
    with tempfile.TemporaryDirectory(prefix="upload.", dir=device.state_dir) as folder:
        try:
            size, digest = await in_thread(_snapshot, device.log_file, os.path.join(folder, "log"))
        except OSError as error:
            raise OrderFailed(f"snapshot of the log: {error.strerror}") from error
        command, environment = await in_thread(_prepare, program, folder, target)
        batch = _batch(os.path.join(folder, "log"), remote, own)
        await asyncio.wait_for(_put(command, environment, batch, device.time_scale), _LIFETIME)
    return {"bytes": size, "sha256": digest, "remote_path": remote}


def _snapshot(source, copy):
    """What is uploaded is what was counted and hashed, though the log goes on."""
    digest, size = hashlib.sha256(), 0
    with open(source, "rb") as src, open(copy, "wb") as dst:
        end = os.fstat(src.fileno()).st_size
        while size < end and (chunk := src.read(min(1 << 16, end - size))):
            dst.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def _prepare(program, folder, target):
    """The command and its environment; the key and the way to ask for the password lie in folder."""
    address = _ADDRESS.fullmatch(str(target.get("address")))
    key = _HOST_KEY.fullmatch(str(target.get("host_key")).strip())
    if address is None or key is None:
        raise OrderFailed("sftp: " + ("host_key" if address else "address") + " is not understood")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*", str(target.get("username"))):
        raise OrderFailed("sftp: username is not understood")
    known, ask = os.path.join(folder, "known_hosts"), os.path.join(folder, "askpass")
    with open(known, "w", encoding="ascii") as file:
        file.write(f"tether {key[1]} {key[2]}\n")
    with open(os.open(ask, os.O_WRONLY | os.O_CREAT, 0o700), "w", encoding="ascii") as file:
        file.write(_ASKPASS)
    options = {
        "User": target["username"], "Port": address[2], "HostKeyAlias": "tether", "UserKnownHostsFile": known,
        "GlobalKnownHostsFile": "none", "StrictHostKeyChecking": "yes", "UpdateHostKeys": "no", "IdentityAgent": "none",
        "ConnectTimeout": 10, "ServerAliveInterval": 5, "ServerAliveCountMax": 2, "NumberOfPasswordPrompts": 1,
    }
    if target.get("key_file"):
        options.update(IdentityFile=target["key_file"], IdentitiesOnly="yes", PreferredAuthentications="publickey")
    else:
        options.update(BatchMode="no", PubkeyAuthentication="no", PreferredAuthentications="password")
    environment = {**os.environ, "SSH_ASKPASS": ask, "SSH_ASKPASS_REQUIRE": "force",
                   "TETHER_SFTP_PASSWORD": str(target.get("password", ""))}
    command = [program, "-F", "none", "-oLogLevel=ERROR", *(f"-o{name}={value}" for name, value in options.items()), "-b", "-",
               f"[{address[1]}]" if ":" in address[1] else address[1]]
    return command, environment


def _batch(local, remote, own):
    """What sftp does. On a target of the device's own, the file is put into place whole."""
    if any(ord(c) < 32 for c in local + remote):
        raise OrderFailed("remote_dir is not understood")
    if not own:
        return f"put {_quoted(local)} {_quoted(remote)}\n"
    parts = remote.split("/")[:-1]
    folders = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
    lines = [f"-mkdir {_quoted(folder)}" for folder in folders if folder]
    lines += [f"put {_quoted(local)} {_quoted(remote + '.part')}",
              f"rename {_quoted(remote + '.part')} {_quoted(remote)}"]
    return "\n".join(lines) + "\n"


def _quoted(path):
    return '"' + re.sub(r'(["\\*?\[\]])', r"\\\1", path) + '"'


async def _put(command, environment, batch, scale):
    """Try again after what may pass. A host key that differs will not pass, and is not asked twice."""
    pause = _PAUSE * scale
    for left in reversed(range(_TRIES)):
        sftp = await asyncio.create_subprocess_exec(
            *command, env=environment, start_new_session=True,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE)
        try:
            _, said = await sftp.communicate(batch.encode())
        finally:
            if sftp.returncode is None:
                sftp.kill()
        if sftp.returncode == 0:
            return
        cause = said.decode("utf-8", "replace").strip()[-500:]
        if "Host key verification failed" in cause or "REMOTE HOST IDENTIFICATION" in cause:
            raise OrderFailed("the SFTP server's host key is not the expected one")
        if left == 0:
            raise OrderFailed(f"sftp: {cause or f'exit code {sftp.returncode}'}")
        await asyncio.sleep(pause)
        pause *= 2
