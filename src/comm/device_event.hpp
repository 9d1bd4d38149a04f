#pragma once

#include <c10/core/Event.h>

#include "comm/side_stream.hpp"

namespace lamina {

/// A point in a stream of any device that c10 knows.
struct DeviceEvent final : StreamEvent {
  explicit DeviceEvent(const c10::Stream& stream) : event(stream.device_type()) { event.record(stream); }
  bool done() const override { return event.query(); }

  /// What `stream` is given from now on begins behind the point `given`, a DeviceEvent.
  static void block(const c10::Stream& stream, const StreamEventPtr& given) {
    static_cast<const DeviceEvent&>(*given).event.block(stream);
  }

  c10::Event event;
};

}  // namespace lamina
