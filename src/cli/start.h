/* SPDX-License-Identifier: BSD-2-Clause */
/* start.h - a broker when none answers */
#ifndef SL_START_H
#define SL_START_H

#include "addr.h"

/**
 * sl_start_broker() - make sure that a broker answers, starting the user's own if need be
 * @used: set to the address of the one that answers
 *
 * The new broker is a daemon: it shares nothing with the caller, neither descriptors nor signals
 * nor LD_PRELOAD. Several callers at once get one broker, since binding its address is the lock.
 * Waits until it says WELCOME, at most about two seconds.
 *
 * Return: 0; -ETIMEDOUT nobody answers; -EPROTOTYPE what listens there is not a broker;
 *	   -EPROTONOSUPPORT it speaks another version; as sl_addr_connect().
 */
int sl_start_broker(struct sl_addr *used);

#endif
