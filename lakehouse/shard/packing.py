"""Best-fit packing: documents into sequences of one length, cutting only those that are longer than a sequence."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from lakehouse.shard.errors import ShardError

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Packing:
    """Where each piece of each document goes: five arrays of one entry a piece, ordered by sequence, then offset.

    Attributes:
        piece_document: index of the document.
        piece_start: first token's place in the document.
        piece_length: in tokens.
        piece_sequence: index of the sequence.
        piece_offset: first token's place in the sequence.
        sequences: number of sequences.
        sequence_length: tokens of a full sequence.
    """

    piece_document: Numbers
    piece_start: Numbers
    piece_length: Numbers
    piece_sequence: Numbers
    piece_offset: Numbers
    sequences: int
    sequence_length: int

    @property
    def padding(self) -> int:
        """Places that hold no token."""
        return self.sequences * self.sequence_length - int(self.piece_length.sum())


def pack(lengths: Numbers, sequence_length: int) -> Packing:
    """Pack documents into as few sequences as best-fit-decreasing finds.

    A document longer than a sequence becomes full sequences and a remainder. Pieces are placed from the longest to the
    shortest, equal ones in the order of the documents, each into the fullest sequence that has room (of several, the
    one filled last), else into a new one. Sequences are numbered in the order in which they are opened; within a
    sequence, pieces stand in the order of the documents. Takes O(pieces × log sequence_length) time.

    Args:
        lengths: tokens of each document, at least 1.
        sequence_length: tokens of a sequence, at least 1.

    Raises:
        ShardError: a length is below 1.

    Source: Ding et al., Fewer Truncations Improve Language Modeling, section 3.
    """
    if sequence_length < 1:
        raise ShardError(f"sequence_length is {sequence_length}: a sequence holds at least one token.")
    if (lengths < 1).any():
        first = int(np.argmax(lengths < 1))
        raise ShardError(f"document {first} has {lengths[first]} tokens: only documents with tokens can be packed.")
    document, start, length = _pieces(lengths, sequence_length)
    by_length = np.argsort(-length, kind="stable")
    sequence = np.empty(len(length), dtype=np.int64)
    sequence[by_length], sequences = _best_fit(length[by_length], sequence_length)
    order = np.lexsort((document, sequence))
    document, start, length, sequence = document[order], start[order], length[order], sequence[order]
    before = np.cumsum(length) - length
    is_first = np.diff(sequence, prepend=-1) > 0
    offset = before - before[is_first][sequence]
    return Packing(document, start, length, sequence, offset, sequences, sequence_length)


def _pieces(lengths: Numbers, sequence_length: int) -> tuple[Numbers, Numbers, Numbers]:
    counts = -(-lengths // sequence_length)
    document = np.repeat(np.arange(len(lengths)), counts)
    start = (np.arange(len(document)) - np.repeat(np.cumsum(counts) - counts, counts)) * sequence_length
    return document, start, np.minimum(lengths[document] - start, sequence_length)


@numba.njit(cache=True)
def _best_fit(lengths: Numbers, sequence_length: int) -> tuple[Numbers, int]:
    """Place pieces, longest first.

    Sequences with r free places form a linked list that starts at top[r]. `filled` is a binary tree over r = 0 …
    sequence_length whose node says whether a list below it has a sequence, so the smallest sufficient r is found by
    climbing until a right-hand subtree is not empty, then descending.
    """
    leaves = 1
    while leaves <= sequence_length:
        leaves *= 2
    filled = np.zeros(2 * leaves, dtype=np.bool_)
    top = np.full(sequence_length + 1, -1, dtype=np.int64)
    below = np.empty(len(lengths), dtype=np.int64)
    chosen = np.empty(len(lengths), dtype=np.int64)
    sequences = 0
    for piece in range(len(lengths)):
        length = lengths[piece]
        node = leaves + length
        if not filled[node]:
            while node > 1 and (node % 2 == 1 or not filled[node + 1]):
                node //= 2
            if node > 1:
                node += 1
                while node < leaves:
                    node = 2 * node if filled[2 * node] else 2 * node + 1
        if node > 1:
            free = node - leaves
            sequence = top[free]
            top[free] = below[sequence]
            while node >= 1 and (top[free] == -1 if node >= leaves else not (filled[2 * node] or filled[2 * node + 1])):
                filled[node] = False
                node //= 2
        else:
            free = sequence_length
            sequence = sequences
            sequences += 1
        chosen[piece] = sequence
        free -= length
        below[sequence] = top[free]
        top[free] = sequence
        node = leaves + free
        while node >= 1 and not filled[node]:
            filled[node] = True
            node //= 2
    return chosen, sequences
