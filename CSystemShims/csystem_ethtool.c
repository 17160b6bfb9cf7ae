// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "csystem_ethtool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <linux/ethtool.h>
#include <linux/sockios.h>

// The version with input_xfrm (Linux 6.8), which Debian 12's header does not have yet.
struct rss_request {
  uint32_t command;
  uint32_t context;
  uint32_t table_size;
  uint32_t key_size;
  uint8_t hash_function;
  uint8_t input_transformation;
  uint8_t reserved8[2];
  uint32_t reserved32;
  uint32_t table[];
};

_Static_assert(sizeof(struct rss_request) == sizeof(struct ethtool_rxfh), "size");
_Static_assert(
  offsetof(struct rss_request, table) == offsetof(struct ethtool_rxfh, rss_config), "layout");
_Static_assert(
  csystem_ethtool_driver_size == sizeof(((struct ethtool_drvinfo *)0)->driver), "size");

// RXH_XFRM_NO_CHANGE
static const uint8_t keep_transformation = 0xFF;

static int ask(int fd, const char *interface, void *request) {
  struct ifreq argument = {.ifr_data = request};
  if (strlen(interface) >= sizeof(argument.ifr_name)) {
    return -ENODEV;
  }
  strcpy(argument.ifr_name, interface);
  return ioctl(fd, SIOCETHTOOL, &argument) < 0 ? -errno : 0;
}

int csystem_ethtool_open(void) {
  // Any socket takes SIOCETHTOOL; a Unix one is there without IPv4 as well.
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  return fd < 0 ? -errno : fd;
}

int csystem_ethtool_driver(int fd, const char *interface, char *name) {
  struct ethtool_drvinfo request = {.cmd = ETHTOOL_GDRVINFO};
  int result = ask(fd, interface, &request);
  if (result < 0) {
    return result;
  }
  memcpy(name, request.driver, csystem_ethtool_driver_size);
  name[csystem_ethtool_driver_size - 1] = 0;
  return (int)strlen(name);
}

int csystem_ethtool_receive_queues(int fd, const char *interface, uint32_t *count) {
  struct ethtool_rxnfc request = {.cmd = ETHTOOL_GRXRINGS};
  int result = ask(fd, interface, &request);
  *count = (uint32_t)request.data;
  return result;
}

static struct rss_request *rss_request(size_t size) {
  return calloc(1, sizeof(struct rss_request) + size * sizeof(uint32_t));
}

int csystem_ethtool_indirection(
  int fd, const char *interface, uint32_t context, uint32_t *queues, size_t capacity,
  size_t *size) {
  struct rss_request question = {.command = ETHTOOL_GRSSH, .context = context};
  int result = ask(fd, interface, &question);
  *size = question.table_size;
  if (result < 0 || question.table_size == 0 || question.table_size > capacity) {
    return result;
  }
  struct rss_request *request = rss_request(question.table_size);
  if (request == NULL) {
    return -ENOMEM;
  }
  request->command = ETHTOOL_GRSSH;
  request->context = context;
  request->table_size = question.table_size;
  result = ask(fd, interface, request);
  if (result == 0) {
    memcpy(queues, request->table, question.table_size * sizeof(uint32_t));
  }
  free(request);
  return result;
}

// Writes the context's number back where one is created.
static int set_rss(
  int fd, const char *interface, uint32_t *context, const uint32_t *queues, size_t size,
  uint32_t table_size) {
  struct rss_request *request = rss_request(size);
  if (request == NULL) {
    return -ENOMEM;
  }
  request->command = ETHTOOL_SRSSH;
  request->context = *context;
  request->table_size = table_size;
  request->input_transformation = keep_transformation;
  if (size > 0) {
    memcpy(request->table, queues, size * sizeof(uint32_t));
  }
  int result = ask(fd, interface, request);
  *context = request->context;
  free(request);
  return result;
}

int csystem_ethtool_set_indirection(
  int fd, const char *interface, const uint32_t *queues, size_t size) {
  uint32_t context = 0;
  return set_rss(fd, interface, &context, queues, size, (uint32_t)size);
}

int csystem_ethtool_create_context(
  int fd, const char *interface, const uint32_t *queues, size_t size, uint32_t *context) {
  *context = ETH_RXFH_CONTEXT_ALLOC;
  return set_rss(
    fd, interface, context, queues, size, size == 0 ? ETH_RXFH_INDIR_NO_CHANGE : (uint32_t)size);
}

int csystem_ethtool_delete_context(int fd, const char *interface, uint32_t context) {
  return set_rss(fd, interface, &context, NULL, 0, 0);
}

int csystem_ethtool_rule_locations(
  int fd, const char *interface, uint32_t *locations, size_t capacity,
  struct csystem_ethtool_rule_table *table) {
  struct ethtool_rxnfc question = {.cmd = ETHTOOL_GRXCLSRLCNT};
  int result = ask(fd, interface, &question);
  if (result < 0) {
    return result;
  }
  table->count = question.rule_cnt;
  table->chooses = (question.data & RX_CLS_LOC_SPECIAL) != 0;
  table->size = (uint32_t)question.data & ~(uint32_t)RX_CLS_LOC_SPECIAL;
  if (table->count > capacity) {
    return -EMSGSIZE;
  }
  struct ethtool_rxnfc *request =
    calloc(1, sizeof(*request) + table->count * sizeof(uint32_t));
  if (request == NULL) {
    return -ENOMEM;
  }
  request->cmd = ETHTOOL_GRXCLSRLALL;
  request->rule_cnt = table->count;
  result = ask(fd, interface, request);
  if (result == 0) {
    // Fewer where another process has taken rules away meanwhile.
    if (request->rule_cnt < table->count) {
      table->count = request->rule_cnt;
    }
    if (table->size == 0) {
      table->size = (uint32_t)request->data;
    }
    memcpy(locations, request->rule_locs, table->count * sizeof(uint32_t));
  }
  free(request);
  return result;
}

static void copy_in(const struct csystem_ethtool_rule *rule, struct ethtool_rx_flow_spec *flow) {
  struct ethtool_tcpip4_spec *four[] = {&flow->h_u.tcp_ip4_spec, &flow->m_u.tcp_ip4_spec};
  struct ethtool_tcpip6_spec *six[] = {&flow->h_u.tcp_ip6_spec, &flow->m_u.tcp_ip6_spec};
  const uint8_t *sources[] = {rule->source, rule->source_mask};
  const uint8_t *destinations[] = {rule->destination, rule->destination_mask};
  const uint16_t source_ports[] = {rule->source_port, rule->source_port_mask};
  const uint16_t destination_ports[] = {rule->destination_port, rule->destination_port_mask};
  for (int i = 0; i < 2; i++) {
    if (rule->flow_type == TCP_V4_FLOW || rule->flow_type == UDP_V4_FLOW) {
      memcpy(&four[i]->ip4src, sources[i], 4);
      memcpy(&four[i]->ip4dst, destinations[i], 4);
      four[i]->psrc = htons(source_ports[i]);
      four[i]->pdst = htons(destination_ports[i]);
    } else {
      memcpy(six[i]->ip6src, sources[i], 16);
      memcpy(six[i]->ip6dst, destinations[i], 16);
      six[i]->psrc = htons(source_ports[i]);
      six[i]->pdst = htons(destination_ports[i]);
    }
  }
}

static void copy_out(const struct ethtool_rx_flow_spec *flow, struct csystem_ethtool_rule *rule) {
  const struct ethtool_tcpip4_spec *four = &flow->h_u.tcp_ip4_spec;
  const struct ethtool_tcpip4_spec *four_mask = &flow->m_u.tcp_ip4_spec;
  const struct ethtool_tcpip6_spec *six = &flow->h_u.tcp_ip6_spec;
  const struct ethtool_tcpip6_spec *six_mask = &flow->m_u.tcp_ip6_spec;
  switch (rule->flow_type) {
  case TCP_V4_FLOW:
  case UDP_V4_FLOW:
    memcpy(rule->source, &four->ip4src, 4);
    memcpy(rule->source_mask, &four_mask->ip4src, 4);
    memcpy(rule->destination, &four->ip4dst, 4);
    memcpy(rule->destination_mask, &four_mask->ip4dst, 4);
    rule->source_port = ntohs(four->psrc);
    rule->source_port_mask = ntohs(four_mask->psrc);
    rule->destination_port = ntohs(four->pdst);
    rule->destination_port_mask = ntohs(four_mask->pdst);
    break;
  case TCP_V6_FLOW:
  case UDP_V6_FLOW:
    memcpy(rule->source, six->ip6src, 16);
    memcpy(rule->source_mask, six_mask->ip6src, 16);
    memcpy(rule->destination, six->ip6dst, 16);
    memcpy(rule->destination_mask, six_mask->ip6dst, 16);
    rule->source_port = ntohs(six->psrc);
    rule->source_port_mask = ntohs(six_mask->psrc);
    rule->destination_port = ntohs(six->pdst);
    rule->destination_port_mask = ntohs(six_mask->pdst);
    break;
  default:
    break;
  }
}

int csystem_ethtool_rule(int fd, const char *interface, struct csystem_ethtool_rule *rule) {
  struct ethtool_rxnfc request = {.cmd = ETHTOOL_GRXCLSRULE, .fs.location = rule->location};
  int result = ask(fd, interface, &request);
  if (result < 0) {
    return result;
  }
  memset(rule, 0, sizeof(*rule));
  rule->location = request.fs.location;
  rule->flow_type = request.fs.flow_type & ~(uint32_t)(FLOW_EXT | FLOW_MAC_EXT | FLOW_RSS);
  rule->queue = request.fs.ring_cookie;
  rule->context = (request.fs.flow_type & FLOW_RSS) != 0 ? request.rss_context : 0;
  copy_out(&request.fs, rule);
  return 0;
}

int csystem_ethtool_insert_rule(int fd, const char *interface, struct csystem_ethtool_rule *rule) {
  switch (rule->flow_type) {
  case TCP_V4_FLOW:
  case UDP_V4_FLOW:
  case TCP_V6_FLOW:
  case UDP_V6_FLOW:
    break;
  default:
    return -EINVAL;
  }
  struct ethtool_rxnfc request = {
    .cmd = ETHTOOL_SRXCLSRLINS,
    .fs.flow_type = rule->flow_type | (rule->context != 0 ? FLOW_RSS : 0),
    .fs.ring_cookie = rule->queue,
    .fs.location = rule->location,
    .rss_context = rule->context,
  };
  copy_in(rule, &request.fs);
  int result = ask(fd, interface, &request);
  if (result == 0) {
    rule->location = request.fs.location;
  }
  return result;
}

int csystem_ethtool_delete_rule(int fd, const char *interface, uint32_t location) {
  struct ethtool_rxnfc request = {.cmd = ETHTOOL_SRXCLSRLDEL, .fs.location = location};
  return ask(fd, interface, &request);
}

int csystem_ethtool_namespace(int fd, uint64_t *cookie) {
  socklen_t byte_count = sizeof(*cookie);
  return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &byte_count) < 0 ? -errno : 0;
}
