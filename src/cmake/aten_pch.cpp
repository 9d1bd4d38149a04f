// Owner of the precompiled header; see aten_pch.hpp.
