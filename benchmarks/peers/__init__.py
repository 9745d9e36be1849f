"""The contenders that are not ours: each is written as its documentation recommends, the fast way, and kept small."""
