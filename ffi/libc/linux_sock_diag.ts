// <linux/sock_diag.h>

export const SOCK_DIAG_BY_FAMILY = 20;
