"""Recording: runs and tool calls opened and closed once each, whoever reports them; what adapters stand on."""
