#pragma once

#include <c10/core/Device.h>

#include <functional>

/// A device that is a host's memory and threads, behind c10's interface to devices: so that what Lamina asks
/// of a GPU's streams, events and memory is tested without one.
///
/// Streams  are threads that do their work in order, and as late as they like: what forgets to wait for an
///          event reads what is not there yet.
/// Memory   once freed is overwritten by the stream in whose turn it was allocated, as a caching allocator
///          gives it to that stream's next tensor: what forgets to record its stream reads that.
/// Tensors  can be made, copied, cloned, viewed and added to lists of others; nothing else is computed.
/// Limits   one device; linked into a test of its own, since it takes the process's place for devices of
///          other makes.
namespace fake_device {

inline const c10::Device device{c10::DeviceType::PrivateUse1, 0};

/// Gives the calling thread's current stream some work.
void enqueue(std::function<void()> work);

/// Waits for all that the calling thread's current stream has been given.
void synchronize();

}  // namespace fake_device
