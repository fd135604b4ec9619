// The parts of Apache ECharts that our pages draw with; everything else is left out of the built file.
import { connect, init, use } from "echarts/core";
import { LineChart, BarChart, HeatmapChart } from "echarts/charts";
import {
  AriaComponent, DatasetComponent, GridComponent, LegendComponent, MarkLineComponent, TooltipComponent, VisualMapComponent,
} from "echarts/components";
import { SVGRenderer } from "echarts/renderers";

use([
  LineChart, BarChart, HeatmapChart, AriaComponent, DatasetComponent, GridComponent, LegendComponent, MarkLineComponent,
  TooltipComponent, VisualMapComponent, SVGRenderer,
]);

export { connect, init };
