// SPDX-License-Identifier: GPL-2.0
/*
 * Which queue gets a frame: the first n-tuple rule that matches, else RSS by the
 * Toeplitz hash over addresses and ports. Rules and tables are one immutable object
 * that frames read under RCU; a change replaces it under the instance lock.
 */
#include <linux/ethtool.h>
#include <linux/rcupdate.h>
#include <linux/unaligned.h>
#include <net/netdev_lock.h>

#include "devmemsim.h"

const u16 dms_no_queue = U16_MAX;

static struct dms_steering *dms_current(struct dms_priv *priv)
{
	return rcu_dereference_protected(priv->steering, lockdep_is_held(&priv->dev->lock) ||
					 priv->dev->reg_state != NETREG_REGISTERED);
}

/* A copy to be changed; dms_publish() or kfree() takes it. */
static struct dms_steering *dms_copy(struct dms_priv *priv)
{
	return kmemdup(dms_current(priv), sizeof(struct dms_steering), GFP_KERNEL);
}

static void dms_publish(struct dms_priv *priv, struct dms_steering *next)
{
	struct dms_steering *old = dms_current(priv);

	rcu_assign_pointer(priv->steering, next);
	if (old)
		kfree_rcu(old, rcu);
}

int dms_steering_init(struct dms_priv *priv)
{
	struct dms_steering *steering = kzalloc(sizeof(*steering), GFP_KERNEL);

	if (!steering)
		return -ENOMEM;
	netdev_rss_key_fill(steering->key, sizeof(steering->key));
	dms_publish(priv, steering);
	return 0;
}

void dms_steering_exit(struct dms_priv *priv)
{
	kfree(dms_current(priv));
}

/* Spreads the default table over so many queues; in place, a word at a time. */
void dms_steering_default(struct dms_priv *priv, unsigned int queues)
{
	u32 *indir = dms_current(priv)->indir[0];

	for (int i = 0; i < DMS_INDIR_SIZE; i++)
		WRITE_ONCE(indir[i], ethtool_rxfh_indir_default(i, queues));
}

/* One input byte after the other; the key is a window of 32 bits that slides along. */
static u32 dms_toeplitz(u32 hash, const u8 *key, const void *data, int length)
{
	const u8 *bytes = data;

	for (int i = 0; i < length; i++) {
		u64 window = (u64)get_unaligned_be32(key + i) << 8 | key[i + 4];

		for (int bit = 0; bit < 8; bit++)
			if (bytes[i] & (0x80 >> bit))
				hash ^= (u32)(window >> (8 - bit));
	}
	return hash;
}

static u32 dms_hash(const struct dms_steering *steering, const struct dms_frame *frame,
		    const struct dms_tuple *tuple)
{
	int address = frame->v6 ? 16 : 4;
	u32 hash;

	hash = dms_toeplitz(0, steering->key, tuple->src, address);
	hash = dms_toeplitz(hash, steering->key + address, tuple->dst, address);
	if (frame->ports) {
		hash = dms_toeplitz(hash, steering->key + 2 * address, &tuple->sport, 2);
		hash = dms_toeplitz(hash, steering->key + 2 * address + 2, &tuple->dport, 2);
	}
	return hash;
}

static bool dms_matches(const struct dms_rule *rule, const struct dms_frame *frame,
			const struct dms_tuple *tuple)
{
	const u8 *value = (const u8 *)&rule->value, *mask = (const u8 *)&rule->mask;
	const u8 *bytes = (const u8 *)tuple;

	if (rule->v6 != frame->v6 || rule->protocol != frame->protocol)
		return false;
	for (int i = 0; i < sizeof(*tuple); i++)
		if ((bytes[i] ^ value[i]) & mask[i])
			return false;
	return true;
}

static const struct dms_rule *dms_find(const struct dms_steering *steering,
				       const struct dms_frame *frame,
				       const struct dms_tuple *tuple)
{
	if (!steering->rule_count || !frame->ports)
		return NULL;
	for (int i = 0; i < DMS_MAX_RULES; i++) {
		const struct dms_rule *rule = &steering->rules[i];

		if (rule->used && dms_matches(rule, frame, tuple))
			return rule;
	}
	return NULL;
}

/* The queue of this device for a frame, or dms_no_queue; also notes its hash. */
u16 dms_steer(struct dms_priv *priv, struct dms_frame *frame, const struct dms_tuple *tuple)
{
	const struct dms_steering *steering;
	const struct dms_rule *rule = NULL;
	u32 context = 0;
	u16 queue = 0;

	if (!frame->ip)
		return 0;
	rcu_read_lock();
	steering = rcu_dereference(priv->steering);
	frame->hash = dms_hash(steering, frame, tuple);
	if (priv->dev->features & NETIF_F_NTUPLE)
		rule = dms_find(steering, frame, tuple);
	if (rule && rule->drop) {
		queue = dms_no_queue;
	} else if (rule && !(rule->spec.flow_type & FLOW_RSS)) {
		queue = rule->queue;
	} else if (dms_spreads) {
		if (rule)
			context = rule->context;
		queue = READ_ONCE(steering->indir[context][frame->hash % DMS_INDIR_SIZE]);
	}
	rcu_read_unlock();
	/* Fewer channels since then: the core refuses that, except for the default table. */
	if (queue != dms_no_queue && queue >= READ_ONCE(priv->dev->real_num_rx_queues))
		queue = 0;
	return queue;
}

int dms_get_rxfh(struct net_device *dev, struct ethtool_rxfh_param *param)
{
	struct dms_steering *steering = dms_current(netdev_priv(dev));

	param->hfunc = ETH_RSS_HASH_TOP;
	if (param->indir)
		memcpy(param->indir, steering->indir[0], sizeof(steering->indir[0]));
	if (param->key)
		memcpy(param->key, steering->key, sizeof(steering->key));
	return 0;
}

static int dms_change_context(struct dms_priv *priv, u32 context,
			      const struct ethtool_rxfh_param *param,
			      struct netlink_ext_ack *extack)
{
	struct dms_steering *next;

	if (param->hfunc != ETH_RSS_HASH_NO_CHANGE && param->hfunc != ETH_RSS_HASH_TOP) {
		NL_SET_ERR_MSG(extack, "the hash function is Toeplitz");
		return -EOPNOTSUPP;
	}
	next = dms_copy(priv);
	if (!next)
		return -ENOMEM;
	if (param->indir)
		memcpy(next->indir[context], param->indir, sizeof(next->indir[context]));
	if (param->key)
		memcpy(next->key, param->key, sizeof(next->key));
	dms_publish(priv, next);
	return 0;
}

int dms_set_rxfh(struct net_device *dev, struct ethtool_rxfh_param *param,
		 struct netlink_ext_ack *extack)
{
	return dms_change_context(netdev_priv(dev), 0, param, extack);
}

int dms_create_rxfh_context(struct net_device *dev, struct ethtool_rxfh_context *ctx,
			    const struct ethtool_rxfh_param *param,
			    struct netlink_ext_ack *extack)
{
	struct ethtool_rxfh_param wanted = *param;
	u32 *indir = ethtool_rxfh_context_indir(ctx);

	if (param->rss_context >= DMS_MAX_CONTEXTS)
		return -ENOSPC;
	ctx->hfunc = ETH_RSS_HASH_TOP;
	if (!param->indir) {
		for (int i = 0; i < DMS_INDIR_SIZE; i++)
			indir[i] = ethtool_rxfh_indir_default(i, dev->real_num_rx_queues);
		wanted.indir = indir;
	}
	/* The core refuses a key for one context: there is one for all. */
	wanted.key = NULL;
	return dms_change_context(netdev_priv(dev), param->rss_context, &wanted, extack);
}

int dms_modify_rxfh_context(struct net_device *dev, struct ethtool_rxfh_context *ctx,
			    const struct ethtool_rxfh_param *param,
			    struct netlink_ext_ack *extack)
{
	return dms_change_context(netdev_priv(dev), param->rss_context, param, extack);
}

int dms_remove_rxfh_context(struct net_device *dev, struct ethtool_rxfh_context *ctx,
			    u32 context, struct netlink_ext_ack *extack)
{
	struct dms_steering *steering = dms_current(netdev_priv(dev));

	for (int i = 0; i < DMS_MAX_RULES; i++) {
		const struct dms_rule *rule = &steering->rules[i];

		if (rule->used && rule->spec.flow_type & FLOW_RSS && rule->context == context) {
			NL_SET_ERR_MSG(extack, "a rule still points to this context");
			return -EBUSY;
		}
	}
	return 0;
}

int dms_get_rxfh_fields(struct net_device *dev, struct ethtool_rxfh_fields *fields)
{
	switch (fields->flow_type) {
	case TCP_V4_FLOW:
	case TCP_V6_FLOW:
	case UDP_V4_FLOW:
	case UDP_V6_FLOW:
		fields->data = RXH_IP_SRC | RXH_IP_DST | RXH_L4_B_0_1 | RXH_L4_B_2_3;
		return 0;
	case IPV4_FLOW:
	case IPV6_FLOW:
		fields->data = RXH_IP_SRC | RXH_IP_DST;
		return 0;
	}
	fields->data = 0;
	return 0;
}

static int dms_rule_parse(struct dms_rule *rule, const struct ethtool_rx_flow_spec *spec)
{
	const struct ethtool_tcpip4_spec *v4 = &spec->h_u.tcp_ip4_spec;
	const struct ethtool_tcpip4_spec *v4_mask = &spec->m_u.tcp_ip4_spec;
	const struct ethtool_tcpip6_spec *v6 = &spec->h_u.tcp_ip6_spec;
	const struct ethtool_tcpip6_spec *v6_mask = &spec->m_u.tcp_ip6_spec;

	switch (spec->flow_type & ~FLOW_RSS) {
	case TCP_V4_FLOW:
	case TCP_V6_FLOW:
		rule->protocol = IPPROTO_TCP;
		break;
	case UDP_V4_FLOW:
	case UDP_V6_FLOW:
		rule->protocol = IPPROTO_UDP;
		break;
	default:
		return -EOPNOTSUPP;
	}
	switch (spec->flow_type & ~FLOW_RSS) {
	case TCP_V4_FLOW:
	case UDP_V4_FLOW:
		if (v4_mask->tos)
			return -EOPNOTSUPP;
		rule->value = (struct dms_tuple) {
			.src = { v4->ip4src }, .dst = { v4->ip4dst },
			.sport = v4->psrc, .dport = v4->pdst,
		};
		rule->mask = (struct dms_tuple) {
			.src = { v4_mask->ip4src }, .dst = { v4_mask->ip4dst },
			.sport = v4_mask->psrc, .dport = v4_mask->pdst,
		};
		break;
	default:
		if (v6_mask->tclass)
			return -EOPNOTSUPP;
		rule->v6 = true;
		memcpy(rule->value.src, v6->ip6src, sizeof(rule->value.src));
		memcpy(rule->value.dst, v6->ip6dst, sizeof(rule->value.dst));
		rule->value.sport = v6->psrc;
		rule->value.dport = v6->pdst;
		memcpy(rule->mask.src, v6_mask->ip6src, sizeof(rule->mask.src));
		memcpy(rule->mask.dst, v6_mask->ip6dst, sizeof(rule->mask.dst));
		rule->mask.sport = v6_mask->psrc;
		rule->mask.dport = v6_mask->pdst;
		break;
	}
	return 0;
}

static int dms_rule_insert(struct net_device *dev, struct ethtool_rxnfc *info)
{
	struct dms_priv *priv = netdev_priv(dev);
	struct ethtool_rx_flow_spec *spec = &info->fs;
	struct dms_rule rule = { .used = true };
	struct dms_steering *next;
	u32 at = spec->location;
	int err;

	err = dms_rule_parse(&rule, spec);
	if (err)
		return err;
	if (spec->ring_cookie == RX_CLS_FLOW_DISC)
		rule.drop = true;
	else if (spec->ring_cookie >= dev->real_num_rx_queues)
		return -EINVAL;
	else
		rule.queue = spec->ring_cookie;
	if (spec->flow_type & FLOW_RSS) {
		if (info->rss_context >= DMS_MAX_CONTEXTS)
			return -EINVAL;
		rule.context = info->rss_context;
	}
	next = dms_copy(priv);
	if (!next)
		return -ENOMEM;
	if (at & RX_CLS_LOC_SPECIAL) {
		for (at = 0; at < DMS_MAX_RULES && next->rules[at].used; at++)
			;
	}
	if (at >= DMS_MAX_RULES) {
		kfree(next);
		return spec->location & RX_CLS_LOC_SPECIAL ? -ENOSPC : -EINVAL;
	}
	spec->location = at;
	rule.spec = *spec;
	next->rule_count += !next->rules[at].used;
	next->rules[at] = rule;
	dms_publish(priv, next);
	return 0;
}

static int dms_rule_delete(struct dms_priv *priv, u32 at)
{
	struct dms_steering *next;

	if (at >= DMS_MAX_RULES || !dms_current(priv)->rules[at].used)
		return -ENOENT;
	next = dms_copy(priv);
	if (!next)
		return -ENOMEM;
	memset(&next->rules[at], 0, sizeof(next->rules[at]));
	next->rule_count--;
	dms_publish(priv, next);
	return 0;
}

int dms_set_rxnfc(struct net_device *dev, struct ethtool_rxnfc *info)
{
	switch (info->cmd) {
	case ETHTOOL_SRXCLSRLINS:
		return dms_rule_insert(dev, info);
	case ETHTOOL_SRXCLSRLDEL:
		return dms_rule_delete(netdev_priv(dev), info->fs.location);
	}
	return -EOPNOTSUPP;
}

static int dms_rules_list(const struct dms_steering *steering, struct ethtool_rxnfc *info,
			  u32 *locations)
{
	u32 count = 0;

	for (u32 at = 0; at < DMS_MAX_RULES; at++) {
		if (!steering->rules[at].used)
			continue;
		if (count == info->rule_cnt)
			return -EMSGSIZE;
		locations[count++] = at;
	}
	info->rule_cnt = count;
	info->data = DMS_MAX_RULES;
	return 0;
}

int dms_get_rxnfc(struct net_device *dev, struct ethtool_rxnfc *info, u32 *locations)
{
	struct dms_steering *steering = dms_current(netdev_priv(dev));
	const struct dms_rule *rule;

	switch (info->cmd) {
	case ETHTOOL_GRXCLSRLCNT:
		info->rule_cnt = steering->rule_count;
		/* The driver finds a place by itself when asked to. */
		info->data = DMS_MAX_RULES | RX_CLS_LOC_SPECIAL;
		return 0;
	case ETHTOOL_GRXCLSRULE:
		if (info->fs.location >= DMS_MAX_RULES)
			return -EINVAL;
		rule = &steering->rules[info->fs.location];
		if (!rule->used)
			return -ENOENT;
		info->fs = rule->spec;
		info->rss_context = rule->context;
		return 0;
	case ETHTOOL_GRXCLSRLALL:
		return dms_rules_list(steering, info, locations);
	}
	return -EOPNOTSUPP;
}
