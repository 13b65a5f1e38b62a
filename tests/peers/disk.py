"""What a power cut may leave of the files that a program changed, from the log of crashpoints.c.

A file system owes a program only what it synced: fsync of a file brings its content to the disk,
fsync of a directory its names. Of all else anything may have got there, in any order, by sectors:
what no file system does all of, but each some of."""
import os
import pathlib
import shutil

SECTOR = 512
VARIANTS = ("nothing", "all", "some", "torn", "zeros")


class _File:
    def __init__(self, content=b""):
        self.synced = content
        self.pending = []  # (number, offset, data) or (number, length, None), in their order

    def content(self, keep):
        data = bytearray(self.synced)
        for change in self.pending:
            for offset, part in keep(change):
                if part is None:
                    data[offset:] = bytes(max(0, offset - len(data)))
                else:
                    data += bytes(max(0, offset + len(part) - len(data)))
                    data[offset:offset + len(part)] = part
        return bytes(data)

    def sync(self):
        self.synced, self.pending = self.content(whole), []


class _Directory:
    def __init__(self):
        self.synced = {}
        self.pending = []  # (number, name, file or None)

    def names(self, keep=lambda change: True):
        names = dict(self.synced)
        for change in self.pending:
            if keep(change):
                names[change[1]] = change[2]
        return {name: node for name, node in names.items() if node}

    def sync(self):
        self.synced, self.pending = self.names(), []


def whole(change):
    return [change[1:]]


def _sectors(change):
    """A write as those of the sectors it touches; a truncation as it is."""
    _, offset, data = change
    if data is None:
        return [(offset, None)]
    ends = [*range(offset + SECTOR - offset % SECTOR, offset + len(data), SECTOR),
            offset + len(data)]
    return [(begin, data[begin - offset:end - offset])
            for begin, end in zip([offset, *ends], ends)]


class Disk:
    """Takes what is below a directory for synced; follow() adds what a log tells."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self._inodes = {}
        self._count = 0
        self.root = self._load(self.directory)

    def _load(self, path):
        if path.is_file():
            node = _File(path.read_bytes())
        else:
            node = _Directory()
            node.synced = {child.name: self._load(child) for child in path.iterdir()
                           if not child.name.endswith("-shm")}
        self._inodes[path.stat().st_ino] = node
        return node

    def follow(self, log):
        """All that a run did; returns the kinds of the points it came by, in their order."""
        kinds = []
        with open(log, "rb") as lines:
            for line in lines:
                word, *rest = line.rstrip(b"\n").decode().split(" ", 3)
                self._count += 1
                change = getattr(self, "_" + word, None)
                if change:
                    change(lines, *rest)
                kinds.append("disk" if change else word)
        return kinds

    def _parent(self, path):
        node = self.root
        *parents, name = path.split("/")
        for parent in parents:
            node = node.names()[parent]
        return node, name

    def _name(self, path, node):
        parent, name = self._parent(path)
        parent.pending.append((self._count, name, node))

    def _create(self, _, inode, *path):
        self._inodes[int(inode)] = node = _File()
        self._name(" ".join(path), node)

    def _mkdir(self, _, inode, *path):
        self._inodes[int(inode)] = node = _Directory()
        self._name(" ".join(path), node)

    def _unlink(self, _, *path):
        self._name(" ".join(path), None)

    def _write(self, lines, inode, offset, length):
        data = lines.read(int(length))
        self._inodes[int(inode)].pending.append((self._count, int(offset), data))

    def _truncate(self, _, inode, length):
        self._inodes[int(inode)].pending.append((self._count, int(length), None))

    def _sync(self, _, inode):
        self._inodes[int(inode)].sync()

    def power_cut(self, variant, dice, to):
        """Writes what is left into a new directory. Variants: of what was not synced
        nothing   is there
        all       is there, as after a kill
        some      names, sectors and lengths are there, each by chance
        torn      the changes up to one of them are there, of that one some sectors
        zeros     names and lengths are there, but no content."""
        last = dice.randrange(self._count + 1)

        def keep_name(change):
            return {"nothing": False, "some": dice.random() < 0.5, "torn": change[0] < last
                    }.get(variant, True)

        def keep(change):
            if variant in ("nothing", "all"):
                return whole(change) if variant == "all" else []
            if variant == "zeros":
                offset, data = change[1:]
                return [(offset, data and bytes(len(data)))]
            if variant == "torn" and change[0] != last:
                return whole(change) if change[0] < last else []
            return [part for part in _sectors(change) if dice.random() < 0.5]

        self._write_out(self.root, pathlib.Path(to), keep_name, keep)

    def _write_out(self, node, path, keep_name, keep):
        if isinstance(node, _File):
            path.write_bytes(node.content(keep))
            path.chmod(0o600)
            return
        path.mkdir(mode=0o700)
        for name, child in node.names(keep_name).items():
            self._write_out(child, path / name, keep_name, keep)


def put_back(directory, image):
    """The directory becomes what the image is; its own name and inode stay."""
    for child in pathlib.Path(directory).iterdir():
        shutil.rmtree(child) if child.is_dir() else os.unlink(child)
    shutil.copytree(image, directory, dirs_exist_ok=True)
