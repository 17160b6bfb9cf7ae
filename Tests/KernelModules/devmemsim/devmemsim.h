/* SPDX-License-Identifier: GPL-2.0 */
/*
 * devmemsim: a pair of network devices in software that do device memory TCP.
 *
 * What one sends the other receives. The "DMA engine" of the receiving one is a
 * memcpy between the pages that the DMA addresses name, so that the kernel
 * cannot tell it from a NIC: dma-bufs are bound to its queues, payload lands in
 * them, headers do not. Test equipment only.
 *
 * One file for each concept:
 *
 *   main.c      module, devices, their common parent
 *   netdev.c    open, stop, transmission and its completions, carrier
 *   queue.c     a receive queue: page pool, NAPI, queue management operations
 *   frame.c     where the headers of a frame are
 *   engine.c    the DMA engine: from the sender's memory to a received packet
 *   steering.c  which queue gets a frame: n-tuple rules, then RSS
 *   ethtool.c   rings, channels, RSS, rules, counters for the standard tools
 *   stats.c     counters for each queue
 *   faults.c    debugfs: loss, failing allocations, late completions
 *
 * Locks. Control operations run under the instance lock of their device, which
 * the core takes (setting queue_mgmt_ops asks for that); open, stop and channels
 * under rtnl as well. The wire of a queue has a spinlock of its own. Steering is
 * read under RCU and replaced as a whole.
 */
#ifndef DEVMEMSIM_H
#define DEVMEMSIM_H

#include <linux/atomic.h>
#include <linux/ethtool.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <linux/u64_stats_sync.h>
#include <linux/workqueue.h>
#include <net/netdev_queues.h>
#include <net/page_pool/types.h>

#define DMS_NAME		"devmemsim"
#define DMS_MAX_QUEUES		16
#define DMS_DEFAULT_QUEUES	4
#define DMS_RING_DEFAULT	512
#define DMS_RING_MIN		8
#define DMS_RING_MAX		4096
/* The largest page that a queue may be given; its pool's order is then 4. */
#define DMS_MAX_RX_PAGE		(16 * PAGE_SIZE)
/* An unsplit frame has this much in its linear part, as drivers copy it there. */
#define DMS_COPYBREAK		256
#define DMS_HDS_THRESH_MAX	65535
#define DMS_KEY_SIZE		40
#define DMS_INDIR_SIZE		128
#define DMS_MAX_CONTEXTS	8	/* the default one included */
#define DMS_MAX_RULES		64

/* The headers of a frame; travels with it over the wire, in skb->cb. */
struct dms_frame {
	bool	ip;		/* the addresses are there */
	bool	v6;
	bool	ports;		/* and the ports: TCP or UDP, not a later fragment */
	bool	tcp;		/* can be split behind header_len */
	u8	protocol;
	u16	l3;		/* offsets from the Ethernet header */
	u16	l4;
	u16	header_len;	/* all headers, up to TCP's payload */
	u32	hash;		/* 0 without addresses */
};

struct dms_tuple {
	__be32	src[4];		/* IPv4 in the first word */
	__be32	dst[4];
	__be16	sport;
	__be16	dport;
};

/* Behind the frame in skb->cb while the completion of a frame is held back. */
struct dms_cb {
	struct dms_frame	frame;
	unsigned long		due;	/* jiffies */
};

#define DMS_CB(skb) ((struct dms_cb *)(skb)->cb)

struct dms_rx_stats {
	u64_stats_t	packets;
	u64_stats_t	bytes;
	u64_stats_t	alloc_fail;
	u64_stats_t	drops;		/* faults and frames that no memory fits */
	u64_stats_t	csum_unnecessary;
	u64_stats_t	csum_none;
	u64_stats_t	csum_bad;
	u64_stats_t	split;		/* frames with payload of their own */
	u64_stats_t	unreadable;	/* and those in device memory */
	struct u64_stats_sync syncp;
};

struct dms_tx_stats {
	u64_stats_t	packets;	/* on the wire, so segments count */
	u64_stats_t	bytes;
	u64_stats_t	drops;		/* the peer is down */
	u64_stats_t	gso_packets;
	u64_stats_t	gso_bytes;
	u64_stats_t	gso_wire_packets;
	u64_stats_t	needs_csum;
	u64_stats_t	netmem;		/* packets from device memory */
	u64_stats_t	stop;
	u64_stats_t	wake;
	struct u64_stats_sync syncp;
};

struct dms_priv;

struct dms_rxq {
	struct napi_struct	napi;
	struct dms_priv		*priv;
	struct page_pool	*pool;		/* NAPI's; NULL while stopped */
	u32			page_size;
	u16			index;
	bool			open;		/* under wire.lock */
	struct sk_buff_head	wire;		/* frames under way to this queue */
	struct dms_rx_stats	stats;
} ____cacheline_aligned_in_smp;

struct dms_txq {
	atomic_t		in_flight;
	struct dms_tx_stats	stats;
} ____cacheline_aligned_in_smp;

struct dms_rule {
	bool			used;
	bool			drop;
	struct ethtool_rx_flow_spec spec;	/* as it was given */
	u32			context;	/* with FLOW_RSS */
	u8			protocol;
	bool			v6;
	u16			queue;
	struct dms_tuple	value;
	struct dms_tuple	mask;
};

struct dms_steering {
	struct rcu_head	rcu;
	u8		key[DMS_KEY_SIZE];
	u32		indir[DMS_MAX_CONTEXTS][DMS_INDIR_SIZE];
	u32		rule_count;
	struct dms_rule	rules[DMS_MAX_RULES];
};

struct dms_faults {
	u32		rx_drop_every;		/* 0: never */
	u32		alloc_fail_every;
	u32		tx_completion_delay_ms;
	atomic_t	frames;
	atomic_t	allocations;
	struct dentry	*folder;
};

struct dms_priv {
	struct net_device	*dev;
	struct device		*dma;	/* the parent: whose addresses DMA names */
	struct dms_priv		*peer;	/* from birth until both are gone */
	struct dms_rxq		rxq[DMS_MAX_QUEUES];
	struct dms_txq		txq[DMS_MAX_QUEUES];
	struct dms_steering __rcu *steering;
	/* What the core asked for; the core's own copy may change under NAPI. */
	bool			split;
	u32			hds_thresh;
	u32			rx_pending;
	u32			tx_pending;
	struct sk_buff_head	late;		/* completions held back */
	struct delayed_work	late_work;
	struct dms_faults	faults;
};

/* netdev.c */
void dms_netdev_setup(struct net_device *dev);
void dms_tx_complete(struct sk_buff *skb, int budget);
void dms_late_work(struct work_struct *work);
void dms_late_flush(struct dms_priv *priv);

/* queue.c */
extern const struct netdev_queue_mgmt_ops dms_queue_mgmt_ops;
int dms_queues_open(struct dms_priv *priv, unsigned int from, unsigned int to);
void dms_queues_close(struct dms_priv *priv, unsigned int from, unsigned int to);
bool dms_wire_put(struct dms_rxq *rxq, struct sk_buff *skb);

/* frame.c */
void dms_frame_parse(const struct sk_buff *skb, struct dms_frame *frame,
		     struct dms_tuple *tuple);

/* engine.c */
int dms_receive(struct dms_rxq *rxq, struct sk_buff *wire);

/* steering.c */
extern const u16 dms_no_queue;
int dms_steering_init(struct dms_priv *priv);
void dms_steering_exit(struct dms_priv *priv);
void dms_steering_default(struct dms_priv *priv, unsigned int queues);
u16 dms_steer(struct dms_priv *priv, struct dms_frame *frame,
	      const struct dms_tuple *tuple);
int dms_get_rxfh(struct net_device *dev, struct ethtool_rxfh_param *param);
int dms_set_rxfh(struct net_device *dev, struct ethtool_rxfh_param *param,
		 struct netlink_ext_ack *extack);
int dms_get_rxfh_fields(struct net_device *dev, struct ethtool_rxfh_fields *fields);
int dms_create_rxfh_context(struct net_device *dev, struct ethtool_rxfh_context *ctx,
			    const struct ethtool_rxfh_param *param,
			    struct netlink_ext_ack *extack);
int dms_modify_rxfh_context(struct net_device *dev, struct ethtool_rxfh_context *ctx,
			    const struct ethtool_rxfh_param *param,
			    struct netlink_ext_ack *extack);
int dms_remove_rxfh_context(struct net_device *dev, struct ethtool_rxfh_context *ctx,
			    u32 context, struct netlink_ext_ack *extack);
int dms_get_rxnfc(struct net_device *dev, struct ethtool_rxnfc *info, u32 *locations);
int dms_set_rxnfc(struct net_device *dev, struct ethtool_rxnfc *info);

/* ethtool.c */
const struct ethtool_ops *dms_ethtool_ops(void);
/* What the devices have; see main.c. */
extern bool dms_spreads, dms_has_rules;

/* stats.c */
extern const struct netdev_stat_ops dms_stat_ops;
void dms_stats_init(struct dms_priv *priv);
void dms_get_stats64(struct net_device *dev, struct rtnl_link_stats64 *total);
int dms_get_sset_count(struct net_device *dev, int set);
void dms_get_strings(struct net_device *dev, u32 set, u8 *data);
void dms_get_ethtool_stats(struct net_device *dev, struct ethtool_stats *stats, u64 *data);

#define dms_count(stats, field, n)				\
	do {							\
		u64_stats_update_begin(&(stats)->syncp);	\
		u64_stats_add(&(stats)->field, (n));		\
		u64_stats_update_end(&(stats)->syncp);		\
	} while (0)

/* faults.c */
int dms_fence_create(void);
void dms_fence_destroy(void);

void dms_faults_create(void);
void dms_faults_destroy(void);
void dms_faults_add(struct dms_priv *priv, int index);
bool dms_fault(atomic_t *counter, const u32 *every);

#endif
