#include "lamina/control/host_port.hpp"

#include <gtest/gtest.h>

namespace lamina {
namespace {

TEST(HostPort, APortAloneIsOfTheLoopback) {
  const auto found = host_port("9100");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->host, "127.0.0.1");
  EXPECT_EQ(found->port, 9100);
}

TEST(HostPort, AHostIsANameAnAddressOrAnIpv6AddressInBrackets) {
  for (const auto& [text, host] :
       {std::pair{"node-3:0", "node-3"}, {"10.0.0.7:0", "10.0.0.7"}, {"[::1]:0", "::1"}}) {
    const auto found = host_port(text);
    ASSERT_TRUE(found) << text;
    EXPECT_EQ(found->host, host);
    EXPECT_EQ(found->port, 0);
  }
}

TEST(HostPort, OtherTextsAreNone) {
  for (const char* text :
       {"", ":", ":80", "host", "host:", "host:x", "host:80x", "host:65536", "host:-1", "::1", "runs/a"})
    EXPECT_FALSE(host_port(text)) << text;
}

}  // namespace
}  // namespace lamina
