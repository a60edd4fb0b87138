"""Operations of the network: pure functions on arrays, and thin linen modules over them."""
