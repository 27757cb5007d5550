# Where dead records wait to be made anew.

from ringpool._core.python cimport Recycler

cdef Recycler recycler
