// jemalloc's settings. A training step frees its large tensors and asks for the same sizes again in the next
// one: pages given back in between would have to be faulted in anew, which costs up to half of the time with
// several workers. So pages are kept; the peak that is reported is therefore also what a run holds.
//
// As nothing is given back, free space has to be used whatever its size: by default jemalloc takes fresh
// pages for a small block rather than split a free extent of more than 2^6 times its size, and a run whose
// workers are disturbed in their rhythm grew by 4 % in 2,000 steps.
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf = "dirty_decay_ms:-1,muzzy_decay_ms:-1,lg_extent_max_active_fit:30";
}
