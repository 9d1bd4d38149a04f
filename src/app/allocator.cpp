// jemalloc's settings. A training step frees its large tensors and asks for the same sizes again in the next
// one: pages given back in between would have to be faulted in anew, which costs up to half of the time with
// several workers. So pages are kept; the peak that is reported is therefore also what a run holds.
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf = "dirty_decay_ms:-1,muzzy_decay_ms:-1";
}
