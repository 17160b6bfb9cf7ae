// SPDX-License-Identifier: GPL-2.0
/*
 * Faults on demand: /sys/kernel/debug/devmemsim/{0,1}/, the folder of dmsim0 and
 * dmsim1 whatever they are called by now. Writable at any time, 0 is off.
 */
#include <linux/debugfs.h>

#include "devmemsim.h"

static struct dentry *root;

void dms_faults_create(void)
{
	root = debugfs_create_dir(DMS_NAME, NULL);
}

void dms_faults_destroy(void)
{
	debugfs_remove_recursive(root);
}

void dms_faults_add(struct dms_priv *priv, int index)
{
	struct dms_faults *faults = &priv->faults;
	char name[2] = { '0' + index, 0 };

	faults->folder = debugfs_create_dir(name, root);
	/* Loses every N-th frame that this device receives. */
	debugfs_create_u32("rx_drop_every", 0600, faults->folder, &faults->rx_drop_every);
	/* Every N-th allocation from a receive queue's page pool fails. */
	debugfs_create_u32("alloc_fail_every", 0600, faults->folder, &faults->alloc_fail_every);
	/* What this device has sent is completed so much later than it was received. */
	debugfs_create_u32("tx_completion_delay_ms", 0600, faults->folder,
			   &faults->tx_completion_delay_ms);
}

/* Whether it is the turn of a fault. */
bool dms_fault(atomic_t *counter, const u32 *every)
{
	u32 turn = READ_ONCE(*every);

	return turn && (u32)atomic_inc_return(counter) % turn == 0;
}
