#include "comm/interfaces.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "comm/expect_error.hpp"
#include "comm/host_address.hpp"
#include "lamina/comm/network.hpp"

namespace lamina {
namespace {

const std::vector<Interface> two{{"lo", asio::ip::make_address_v4("127.0.0.1")},
                                 {"eth0", asio::ip::make_address_v4("10.1.2.3")}};

TEST(Interfaces, AreCalledByNameByAddressOrByNetwork) {
  for (const char* wanted : {"eth0", "10.1.2.3", "10.1.0.0/16", "10.1.2.3/16", "0.0.0.0/0"})
    EXPECT_TRUE(is_called(two[1], wanted)) << wanted;
  for (const char* wanted : {"eth", "eth01", "", "10.1.2.4", "10.2.0.0/16", "10.1.0.0/33", "eth0/16"})
    EXPECT_FALSE(is_called(two[1], wanted)) << wanted;
}

TEST(Interfaces, AnMpiListNeedsOneThatIsThere) {
  for (const char* list : {"eth0", "ib0,eth0", "ib0,10.0.0.0/8"})
    EXPECT_TRUE(mpi_finds_one(two, list)) << list;
  for (const char* list : {"eth", "ib0,ib1", "192.168.0.0/16"})
    EXPECT_FALSE(mpi_finds_one(two, list)) << list;
}

TEST(Interfaces, AnNcclListIsOfBeginningsOrOfNamesOrOfWhatIsLeftOut) {
  for (const char* list : {"eth", "ib,eth", "=eth0", "^lo", "^docker"})
    EXPECT_TRUE(nccl_finds_one(two, list)) << list;
  for (const char* list : {"ib", "=eth", "^lo,eth", "th0"}) EXPECT_FALSE(nccl_finds_one(two, list)) << list;
}

TEST(Interfaces, AHostHasAnAddressToBeReachedBy) {
  EXPECT_FALSE(host_address("auto").is_unspecified());
  for (const char* wanted : {"127.0.0.1", "127.0.0.0/8"})
    EXPECT_TRUE(host_address(wanted).is_loopback()) << wanted;
  for (const Interface& each : interfaces()) EXPECT_FALSE(host_address(each.name).is_unspecified());
}

TEST(Interfaces, AllOfThemAtOnceAreNotToBeListenedOn) {
  for (const char* all : {"0.0.0.0", "::"}) expect_error(ErrorKind::device, [&] { host_address(all); });
}

TEST(Interfaces, ProcessesOfOneNetworkNameItAlike) {
  EXPECT_EQ(network_id(), network_id());
  EXPECT_GT(network_id().size(), 8u);
}

TEST(Interfaces, OneThatIsMissingIsNamedWithThoseThereAre) {
  try {
    host_address("no-such-interface");
    FAIL() << "it was found";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::device);
    EXPECT_THAT(error.what(), testing::HasSubstr("no-such-interface"));
    for (const Interface& each : interfaces()) EXPECT_THAT(error.what(), testing::HasSubstr(each.name));
  }
}

TEST(Interfaces, WhatTheEnvironmentNamesIsCheckedForWhoUsesIt) {
  ::setenv("NCCL_SOCKET_IFNAME", "no-such-interface", 1);
  EXPECT_NO_THROW(require_interfaces(false));
  expect_error(ErrorKind::device, [] { require_interfaces(true); });
  ::unsetenv("NCCL_SOCKET_IFNAME");
  ::setenv("OMPI_MCA_btl_tcp_if_include", "no-such-interface", 1);
  expect_error(ErrorKind::device, [] { require_interfaces(false); });
  ::unsetenv("OMPI_MCA_btl_tcp_if_include");
  EXPECT_NO_THROW(require_interfaces(true));
}

}  // namespace
}  // namespace lamina
